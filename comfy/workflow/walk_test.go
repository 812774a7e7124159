package workflow

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWalkOfTheBuiltin(t *testing.T) {
	g := builtin(t).Graph
	if got, want := g.Sources("sampler"), []string{"checkpoint", "latent", "negative", "positive"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Sources(sampler) = %v, want %v", got, want)
	}
	if got, want := g.Upstream("decode"), []string{"checkpoint", "latent", "negative", "positive", "sampler"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Upstream(decode) = %v, want %v", got, want)
	}
	for _, info := range []*ObjectInfo{nil, stock(t)} {
		if got, want := g.OutputNodes(info), []string{"save"}; !reflect.DeepEqual(got, want) {
			t.Errorf("OutputNodes() = %v, want %v", got, want)
		}
	}
	if problems := g.Check(stock(t)); len(problems) > 0 {
		t.Errorf("Check() = %v", problems)
	}
}

func TestOrderComesAfterItsSources(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Graph{}
		n := rapid.IntRange(1, 30).Draw(t, "nodes")
		names := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 1)).Perm(n)
		for i := range n {
			inputs := settings()
			for range rapid.IntRange(0, min(i, 3)).Draw(t, "links") {
				from := names[rapid.IntRange(0, i-1).Draw(t, "from")]
				inputs[fmt.Sprint(len(inputs))] = []byte(fmt.Sprintf(`["%d",0]`, from))
			}
			g[fmt.Sprint(names[i])] = Node{ClassType: "A", Inputs: inputs}
		}
		order, err := g.Order()
		if err != nil {
			t.Fatal(err)
		}
		if len(order) != len(g) {
			t.Fatalf("Order() has %d nodes of %d", len(order), len(g))
		}
		for place, id := range order {
			for _, from := range g.Upstream(id) {
				if at := slices.Index(order, from); at < 0 || at >= place {
					t.Fatalf("%s is at %d, and its source %s at %d", id, place, from, at)
				}
			}
		}
	})
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	g := graph(t, `{
		"1":{"class_type":"VAEDecode","inputs":{"samples":["2",0],"vae":["9",2]}},
		"2":{"class_type":"LatentUpscale","inputs":{"samples":["3",0]}},
		"3":{"class_type":"Unheard Of","inputs":{"samples":["2",0]}}}`)
	var got []string
	for _, p := range g.Check(stock(t)) {
		got = append(got, p.Error())
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		`node "1", input "vae": it is linked to node "9", which does not exist`,
		`node "2", input "width": it is required and missing`,
		`node "3": the server has no node of class "Unheard Of"`,
		`the graph has no output node`,
		`node "2": its links run in a circle: "2" from "3" from "2"`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("Check() =\n%s\nwant %s", all, want)
		}
	}
	if got, want := g.Upstream("2"), []string{"2", "3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Upstream() in a circle = %v, want %v", got, want)
	}
}

func TestOrderOfADeepGraph(t *testing.T) {
	g := Graph{}
	for i := range MaxNodes {
		g[fmt.Sprint(i)] = Node{ClassType: "A", Inputs: settings("x", fmt.Sprintf(`["%d",0]`, i+1))}
	}
	order, err := g.Order()
	if err != nil || order[0] != fmt.Sprint(MaxNodes-1) {
		t.Errorf("Order() begins with %v (%v), want the end of the chain", order[0], err)
	}
}
