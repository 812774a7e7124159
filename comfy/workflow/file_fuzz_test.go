package workflow

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkFile holds what ReadFile promises: something was found that can be used, or the error is for
// people and of the types that its comment names.
func checkFile(t *testing.T, data []byte) {
	f, err := ReadFile(data)
	if err != nil {
		var graphErr *GraphError
		var jsonErr *JSONError
		if !errors.Is(err, ErrNoWorkflow) && !errors.As(err, &graphErr) && !errors.As(err, &jsonErr) {
			t.Fatalf("error of type %T: %v", err, err)
		}
		if !utf8.ValidString(err.Error()) || len(err.Error()) > 2_000 {
			t.Fatalf("error %q", err)
		}
		return
	}
	if f.UI == nil && f.API == nil && f.Parameters == nil {
		t.Fatalf("ReadFile() = %+v", f)
	}
	if f.UI != nil && !json.Valid(f.UI) {
		t.Fatalf("UI = %q", f.UI)
	}
	if f.API != nil {
		out, err := f.API.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseGraph(out); err != nil {
			t.Fatalf("the graph is refused: %v\n%s", err, out)
		}
	}
	if f.Parameters != nil {
		form := builtin(t).Form(stock(t))
		values, warnings := f.Parameters.Values(form)
		for name, raw := range values {
			if !json.Valid(raw) {
				t.Fatalf("%s = %q", name, raw)
			}
		}
		for _, w := range warnings {
			if !utf8.ValidString(w) || strings.ContainsAny(w, "\x00\n\x1b") {
				t.Fatalf("warning %q", w)
			}
		}
	}
}

// addFiles gives a fuzz test the pictures of testdata that its reader reads.
func addFiles(f *testing.F, endings ...string) {
	for _, ending := range endings {
		names, err := filepath.Glob("testdata/files/*" + ending)
		if err != nil || len(names) == 0 {
			f.Fatal(ending, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

func FuzzReadFileJSON(f *testing.F) {
	for _, text := range []string{
		someUI, someAPI, `{"prompt":` + someAPI + `,"extra_data":{"extra_pnginfo":{"workflow":` + someUI + `}}}`,
		"\xef\xbb\xbf{}", `{"nodes":null}`, `{"nodes":[{}]}`, `{"prompt":{"prompt":{}}}`, "[]", "GIF89a", "\xff\xfe{\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(checkFile)
}

func FuzzReadPNG(f *testing.F) {
	addFiles(f, ".png")
	f.Add(pngOf("tEXt", "workflow\x00"+someUI, "zTXt", "prompt\x00\x00"+pack(someAPI), "iTXt", "parameters\x00\x00\x00\x00\x00"+someA1))
	f.Add(pngOf("iTXt", "prompt\x00\x01\x00\x00\x00"+pack(someAPI), "eXIf", tiffOf(binary.BigEndian, tagModel, "workflow:"+someUI), "IEND", ""))
	f.Fuzz(func(t *testing.T, data []byte) { checkFile(t, append(pngSignature[:8:8], data[min(8, len(data)):]...)) })
}

func FuzzReadWebP(f *testing.F) {
	addFiles(f, ".webp")
	f.Add(webpOf("EXIF", tiffOf(binary.LittleEndian, tagModel, "prompt:"+someAPI), "XMP ", "<a b='"+someUI+"'>"+someA1+"</a>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFile(t, append([]byte("RIFF\x00\x00\x00\x00WEBP"), data[min(12, len(data)):]...))
	})
}

func FuzzReadJPEG(f *testing.F) {
	addFiles(f, ".jpg")
	f.Add(jpegOf("\xe1", "Exif\x00\x00"+tiffOf(binary.BigEndian, tagModel, "workflow:"+someUI), "\xfe", someA1))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFile(t, append([]byte("\xff\xd8\xff"), data[min(3, len(data)):]...))
	})
}

func FuzzParseParameters(f *testing.F) {
	f.Add(someA1)
	f.Add("Steps: 1, Seed: 5, Civitai resources: [{\"type\":\"a, ]b\"},{}], Model: m, Size: 1x99999999, CFG scale: 1e309")
	f.Add("x <lora:a:1><lora:\x00\nNegative prompt: \nSteps: , Sampler: \"DPM++ 2M Karras\\u0000\", Schedule type: automatic")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		checkFile(t, []byte("a\n"+text))
	})
}

// A saved graph is converted into one that can be sent and read again, or refused with a reason.
func FuzzConvert(f *testing.F) {
	o := made(f)
	for _, c := range editorCases(f) {
		f.Add([]byte(c.UI))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Convert(data, o)
		if err != nil {
			var graphErr *GraphError
			var jsonErr *JSONError
			if !errors.As(err, &graphErr) && !errors.As(err, &jsonErr) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		out, err := c.Graph.Marshal()
		if err != nil {
			t.Fatalf("the graph cannot be written: %v", err)
		}
		if _, err := ParseGraph(out); err != nil {
			t.Fatalf("the graph is refused: %v\n%s", err, out)
		}
		if len(c.Order) != len(c.Graph) {
			t.Fatalf("%d nodes have a place, of %d", len(c.Order), len(c.Graph))
		}
		for _, p := range c.Problems {
			if !utf8.ValidString(p.Message) || p.Code == "" {
				t.Fatalf("problem %+v", p)
			}
		}
	})
}
