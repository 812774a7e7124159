package workflow

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkConvert500Nodes: the promise is 20 ms.
func BenchmarkConvert500Nodes(b *testing.B) {
	file, o := savedChain(500), stock(b)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		c, err := Convert(file, o)
		if err != nil {
			b.Fatal(err)
		}
		if len(c.Graph) != 500 {
			b.Fatal(len(c.Graph))
		}
	}
}

// savedChain is a saved graph of samplers one after the other, as large a file as the editor writes.
func savedChain(nodes int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"last_node_id":1,"last_link_id":1,"version":0.4,"config":{},"extra":{"ds":{"scale":1,"offset":[0,0]}},"nodes":[`)
	for i := range nodes {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"type":"KSampler","pos":[%d,200],"size":[315,262],"flags":{},"order":%d,"mode":0,"inputs":[
			{"name":"model","type":"MODEL","link":null},{"name":"positive","type":"CONDITIONING","link":null},
			{"name":"negative","type":"CONDITIONING","link":null},{"name":"latent_image","type":"LATENT","link":%d}],
			"outputs":[{"name":"LATENT","type":"LATENT","slot_index":0,"links":[%d]}],"properties":{"Node name for S&R":"KSampler"},
			"widgets_values":[156680208700286,"randomize",20,8,"euler","normal",1]}`, i, 400*i, i, i, i+1)
	}
	b.WriteString(`],"groups":[{"title":"All","bounding":[0,0,9000,9000],"color":"#3f789e"}],"links":[`)
	for i := 1; i < nodes; i++ {
		if i > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `[%d,%d,0,%d,3,"LATENT"]`, i, i-1, i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}
