package workflow

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	someUI  = `{"nodes":[{"id":3,"type":"KSampler"}],"links":[],"version":0.4}`
	someAPI = `{"3":{"class_type":"KSampler","inputs":{"seed":18446744073709551615}}}`
	someA1  = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, Seed: 7"
)

// The files in testdata/files were written by the libraries and calls of the programs themselves:
// Pillow as in ComfyUI's SaveImage and SaveAnimatedWEBP, Pillow and piexif as in Stable Diffusion WebUI.
func TestReadFileOfPrograms(t *testing.T) {
	for name, want := range map[string]struct {
		container            string
		ui, api, hasSettings bool
	}{
		"comfy.png":      {"png", true, true, false},
		"comfy-ztxt.png": {"png", true, false, false},
		"comfy-itxt.png": {"png", true, false, false},
		"comfy.webp":     {"webp", true, true, false},
		"webui.png":      {"png", false, false, true},
		"webui.jpg":      {"jpeg", false, false, true},
		"webui.webp":     {"webp", false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := readTestFile(t, name)
			if f.Container != want.container || (f.UI != nil) != want.ui || (f.API != nil) != want.api || (f.Parameters != nil) != want.hasSettings {
				t.Fatalf("ReadFile() = %s, UI %s, API %v, Parameters %v", f.Container, f.UI, f.API, f.Parameters)
			}
			if want.ui {
				c := convert(t, f.UI)
				if got := string(c.Graph["3"].Inputs["seed"]); got != "18446744073709551615" {
					t.Errorf("seed = %s", got)
				}
			}
			if want.api {
				if got := string(f.API["3"].Inputs["cfg"]); got != "null" {
					t.Errorf("NaN became %s, want null", got)
				}
			}
			if want.hasSettings {
				if p := f.Parameters; p.Prompt != "a lighthouse, früh\nat dusk <lora:soft:0.7>" || p.NegativePrompt != "blurry,\nlow quality" || p.Settings["Seed"] != "4294967296" {
					t.Errorf("Parameters = %+v", p)
				}
			}
		})
	}
}

func readTestFile(t testing.TB, name string) *File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReadFileOfText(t *testing.T) {
	for name, tt := range map[string]struct {
		text, container string
		ui              bool
		nodes           int
		prompt          string
	}{
		"the editor's format":         {someUI, "json", true, 0, ""},
		"API format":                  {someAPI, "json", false, 1, ""},
		"with the mark of Windows":    {"\xef\xbb\xbf" + someAPI, "json", false, 1, ""},
		"with space around":           {"\n " + someUI + " \n", "json", true, 0, ""},
		"NaN as Python writes it":     {`{"1":{"class_type":"A","inputs":{"x":NaN}}}`, "json", false, 1, ""},
		"the body of a request":       {`{"client_id":"x","prompt":` + someAPI + `}`, "json", false, 1, ""},
		"a request with the editor's": {`{"prompt":` + someAPI + `,"extra_data":{"extra_pnginfo":{"workflow":` + someUI + `}}}`, "json", true, 1, ""},
		"a node that is called so":    {`{"prompt":{"class_type":"A","inputs":{}}}`, "json", false, 1, ""},
		"pasted parameters":           {someA1, "text", false, 0, "a cat"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ReadFile([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			prompt := ""
			if f.Parameters != nil {
				prompt = f.Parameters.Prompt
			}
			if f.Container != tt.container || (f.UI != nil) != tt.ui || len(f.API) != tt.nodes || prompt != tt.prompt {
				t.Errorf("ReadFile() = %s, UI %s, %d nodes, prompt %q", f.Container, f.UI, len(f.API), prompt)
			}
		})
	}
}

// pngOf is the PNG of no picture with these chunks: type, data, type, data.
func pngOf(chunks ...string) []byte {
	out := bytes.Clone(pngSignature)
	for i := 0; i < len(chunks); i += 2 {
		out = binary.BigEndian.AppendUint32(out, uint32(len(chunks[i+1])))
		out = append(out, chunks[i]+chunks[i+1]+"\x00\x00\x00\x00"...)
	}
	return out
}

func webpOf(chunks ...string) []byte {
	var body []byte
	for i := 0; i < len(chunks); i += 2 {
		body = append(body, chunks[i]...)
		body = binary.LittleEndian.AppendUint32(body, uint32(len(chunks[i+1])))
		body = append(body, chunks[i+1]...)
		if len(chunks[i+1])%2 == 1 {
			body = append(body, 0)
		}
	}
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body)+4))
	return append(append(out, "WEBP"...), body...)
}

func jpegOf(segments ...string) []byte {
	out := []byte("\xff\xd8")
	for i := 0; i < len(segments); i += 2 {
		out = append(out, 0xff)
		out = append(out, segments[i]...)
		out = binary.BigEndian.AppendUint16(out, uint16(len(segments[i+1])+2))
		out = append(out, segments[i+1]...)
	}
	return append(out, "\xff\xda\x00\x02"...)
}

// tiffOf is a TIFF structure with one ASCII value in its first directory.
func tiffOf(order binary.AppendByteOrder, tag uint16, text string) string {
	out := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		out = []byte("MM\x00*")
	}
	out = order.AppendUint32(out, 8)
	out = order.AppendUint16(out, 1)
	out = order.AppendUint16(out, tag)
	out = order.AppendUint16(out, 2)
	out = order.AppendUint32(out, uint32(len(text)))
	out = order.AppendUint32(out, 26)
	out = order.AppendUint32(out, 0)
	return string(out) + text
}

func pack(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return b.String()
}

func TestReadFileOfPictures(t *testing.T) {
	const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description dc:x="1"><exif:UserComment>`
	for name, data := range map[string][]byte{
		"tEXt":                            pngOf("IHDR", "x", "tEXt", "workflow\x00"+someUI, "IEND", ""),
		"tEXt after the picture":          pngOf("IDAT", "x", "tEXt", "workflow\x00"+someUI),
		"a PNG that was cut behind it":    pngOf("tEXt", "workflow\x00"+someUI, "IDAT", "xyz")[:120],
		"zTXt":                            pngOf("zTXt", "workflow\x00\x00"+pack(someUI)),
		"iTXt":                            pngOf("iTXt", "workflow\x00\x00\x00en\x00Ablauf\x00"+someUI),
		"iTXt, packed":                    pngOf("iTXt", "workflow\x00\x01\x00\x00\x00"+pack(someUI)),
		"a broken one first":              pngOf("zTXt", "prompt\x00\x00no zlib", "tEXt", "prompt\x00{", "tEXt", "workflow\x00"+someUI),
		"eXIf":                            pngOf("eXIf", tiffOf(binary.BigEndian, 0x010f, "workflow:"+someUI)),
		"WebP":                            webpOf("VP8 ", "odd", "EXIF", tiffOf(binary.LittleEndian, 0x010f, "workflow:"+someUI)),
		"WebP with JPEG's prefix":         webpOf("EXIF", "Exif\x00\x00"+tiffOf(binary.LittleEndian, 0x010e, "Workflow: "+someUI)),
		"WebP's XMP":                      webpOf("XMP ", xmp+strings.ReplaceAll(someUI, `"`, "&quot;")+`</exif:UserComment>`),
		"WebP's EXIF, further tag":        webpOf("EXIF", tiffOf(binary.BigEndian, 0x010d, "workflow:"+someUI+"\x00")),
		"JPEG":                            jpegOf("\xe0", "JFIF", "\xe1", "Exif\x00\x00"+tiffOf(binary.BigEndian, 0x010f, "workflow:"+someUI)),
		"JPEG's comment":                  jpegOf("\xfe", someUI),
		"JPEG's XMP":                      jpegOf("\xe1", "http://ns.adobe.com/xap/1.0/\x00<a b='"+someUI+"'/>"),
		"JPEG with fill before a segment": append([]byte("\xff\xd8\xff\xff"), jpegOf("\xfe", someUI)[3:]...),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ReadFile(data)
			if err != nil {
				t.Fatal(err)
			}
			if string(f.UI) != someUI {
				t.Errorf("UI = %s", f.UI)
			}
		})
	}
}

func TestReadFileRefuses(t *testing.T) {
	bomb := pack(strings.Repeat("\x00", MaxFileTextBytes+1))
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":                  {nil, "no workflow is stored in it: the file is empty"},
		"a picture without one":    {pngOf("IHDR", "x", "IEND", ""), "no workflow is stored in it: programs that send or show pictures often take it out"},
		"a GIF":                    {[]byte("GIF89a\xff\xff"), "no workflow is stored in it: a PNG, WebP or JPEG picture or a JSON file is needed, not a GIF"},
		"a video":                  {[]byte("\x00\x00\x00\x20ftypisom\xff"), "no workflow is stored in it: a PNG, WebP or JPEG picture or a JSON file is needed, not a video"},
		"UTF-16":                   {[]byte("\xff\xfe{\x00}\x00"), "no workflow is stored in it: a PNG, WebP or JPEG picture or a JSON file is needed, not text in UTF-16: save it as UTF-8"},
		"prose":                    {[]byte("Steps: one by one"), "no workflow is stored in it: it is text, but no JSON, and it has no line with steps and sampler"},
		"a list":                   {[]byte("[1]"), "a graph is a JSON object"},
		"half of a file":           {[]byte(someUI[:20]), "it is not JSON: unexpected end of JSON input (at byte 20)"},
		"a key that stands twice":  {[]byte(`{"1":{"class_type":"A"},"1":{"class_type":"B"}}`), `key "1" stands twice (at byte 24)`},
		"nesting of 10,000 levels": {[]byte(strings.Repeat(`{"a":`, 10_000)), "it is nested more than 64 levels deep (at byte 320)"},
		"other JSON":               {[]byte(`{"a":1}`), `node "a": a node is a JSON object`},
		"JSON too long":            {[]byte(`{"a":"` + strings.Repeat("x", MaxFileTextBytes) + `"}`), "the graph has more than 16 MiB of text"},
		"a packed text too long":   {pngOf("zTXt", "workflow\x00\x00"+bomb), "the graph has more than 16 MiB of text"},
		"hundreds of them":         {pngOf(slicesRepeat([]string{"zTXt", "workflow\x00\x00" + pack(strings.Repeat("\x00", MaxFileTextBytes))}, 300)...), "it is not JSON: invalid character '\\x00' looking for beginning of value (at byte 1)"},
		"a file too large":         {make([]byte, MaxFileBytes+1<<20), "the file has 65 MiB; 64 MiB are taken"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ReadFile(tt.data)
			if err == nil {
				t.Fatalf("ReadFile() = %+v", f)
			}
			if err.Error() != tt.want {
				t.Errorf("error = %q, want %q", err, tt.want)
			}
			if strings.HasPrefix(tt.want, "no workflow") != errors.Is(err, ErrNoWorkflow) {
				t.Errorf("errors.Is(err, ErrNoWorkflow) = %v", errors.Is(err, ErrNoWorkflow))
			}
		})
	}
}

func slicesRepeat(list []string, times int) []string {
	var out []string
	for range times {
		out = append(out, list...)
	}
	return out
}

// A picture of ComfyUI whose graph in API format was damaged still has the other.
func TestReadFileKeepsWhatIsWhole(t *testing.T) {
	f, err := ReadFile(pngOf("tEXt", "prompt\x00{\"1\":{}}", "tEXt", "workflow\x00"+someUI))
	if err != nil || f.API != nil || string(f.UI) != someUI {
		t.Errorf("ReadFile() = %+v, %v", f, err)
	}
}

// Texts in both orders of UTF-16, and those that say so and are not.
func TestReadUserComment(t *testing.T) {
	utf16 := func(order binary.AppendByteOrder) []byte {
		var out []byte
		for _, r := range someA1 {
			out = order.AppendUint16(out, uint16(r))
		}
		return out
	}
	for name, tt := range map[string]struct {
		value []byte
		order binary.ByteOrder
	}{
		"UTF-16, as the structure": {append([]byte("UNICODE\x00"), utf16(binary.LittleEndian)...), binary.LittleEndian},
		"UTF-16, the other way":    {append([]byte("UNICODE\x00"), utf16(binary.BigEndian)...), binary.LittleEndian},
		"no UTF-16 at all":         {append([]byte("UNICODE\x00"), someA1...), binary.BigEndian},
		"ASCII":                    {append([]byte("ASCII\x00\x00\x00"), someA1...), binary.BigEndian},
	} {
		if got := userComment(tt.value, tt.order); got != someA1 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := userComment([]byte("ASCII"), binary.BigEndian); got != "" {
		t.Errorf("a comment that is too short gives %q", got)
	}
}

// What the recorded clients sent can be brought in, and goes out again as the same graph.
func TestReadFileOfTranscripts(t *testing.T) {
	files, err := filepath.Glob("../testdata/transcripts/*/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	graphs := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(raw) {
			var l struct {
				Kind   string `json:"kind"`
				Method string `json:"method"`
				Path   string `json:"path"`
				Body   string `json:"body"`
			}
			if json.Unmarshal(line, &l) != nil || l.Kind != "http_request" || l.Method != "POST" || !strings.HasSuffix(l.Path, "/prompt") {
				continue
			}
			f, err := ReadFile([]byte(l.Body))
			if err != nil || f.API == nil {
				continue // bad bodies were recorded, too; the count below holds the good ones
			}
			graphs++
			out, err := f.API.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ReadFile(out)
			if err != nil {
				t.Fatalf("%s: what was written is refused: %v", name, err)
			}
			sameGraph(t, again.API, f.API)
		}
	}
	if graphs < 100 {
		t.Errorf("%d graphs were read", graphs)
	}
}
