package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what ReadFile takes. A picture of 64 megapixels stays below the first; the largest graphs
// that people share are two megabytes of text.
const (
	MaxFileBytes     = 64 << 20
	MaxFileTextBytes = 16 << 20 // of a graph, also after it was inflated
)

// ErrNoWorkflow is a file that can be read and holds no graph and no parameters.
var ErrNoWorkflow = errors.New("no workflow is stored in it")

// File is what was found in a file that somebody brought. At least one of UI, API and Parameters is
// there; a picture from ComfyUI has the first two, which then are the same graph.
type File struct {
	Container  string      // json, text, png, webp or jpeg
	UI         []byte      // JSON as ComfyUI's editor saves it, for Convert
	API        Graph       // as a server runs it
	Parameters *Parameters // what other programs write
}

// ReadFile finds the graph in a file: JSON in either format, bare or as it is sent to a server; PNG,
// WebP or JPEG as ComfyUI, its nodes, and Stable Diffusion WebUI write them; or the text of the latter
// alone. Pixels are not looked at.
//
// Errors are for people: ErrNoWorkflow (wrapped), a *GraphError or a *JSONError.
func ReadFile(data []byte) (*File, error) {
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("the file has %d MiB; %d MiB are taken", len(data)>>20, MaxFileBytes>>20)
	}
	var found carried
	container := ""
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrNoWorkflow)
	case bytes.HasPrefix(data, pngSignature):
		container = "png"
		found.readPNG(data)
	case isWebP(data):
		container = "webp"
		found.readWebP(data)
	case bytes.HasPrefix(data, jpegSignature):
		container = "jpeg"
		found.readJPEG(data)
	case !utf8.Valid(data):
		return nil, fmt.Errorf("%w: a PNG, WebP or JPEG picture or a JSON file is needed, not %s", ErrNoWorkflow, likely(data))
	default:
		data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // Windows marks text so
		if c := firstByte(data); c != '{' && c != '[' {
			return readText(string(data))
		}
		container = "json"
		found.addJSON(data)
	}
	return found.file(container)
}

// readText reads parameters that were pasted.
func readText(s string) (*File, error) {
	if len(s) > MaxFileTextBytes {
		return nil, errTextTooLong
	}
	p, ok := ParseParameters(s)
	if !ok {
		return nil, fmt.Errorf("%w: it is text, but no JSON, and it has no line with steps and sampler", ErrNoWorkflow)
	}
	return &File{Container: "text", Parameters: p}, nil
}

var errTextTooLong = &JSONError{Problem: fmt.Sprintf("the graph has more than %d MiB of text", MaxFileTextBytes>>20)}

// likely names what a file is by its first bytes, for a sentence.
func likely(data []byte) string {
	for _, known := range []struct {
		at          int
		magic, name string
	}{
		{0, "GIF8", "a GIF"},
		{0, "II*\x00", "a TIFF"},
		{0, "MM\x00*", "a TIFF"},
		{4, "ftypavif", "an AVIF"},
		{4, "ftyphei", "a HEIC picture"},
		{4, "ftypmif1", "a HEIC picture"},
		{4, "ftyp", "a video"},
		{0, "\x1a\x45\xdf\xa3", "a video"},
		{0, "fLaC", "a sound file"},
		{0, "OggS", "a sound file"},
		{0, "ID3", "a sound file"},
		{0, "PK\x03\x04", "a zip file"},
		{0, "\x1f\x8b", "a packed file"},
		{0, "\xff\xfe", "text in UTF-16: save it as UTF-8"},
		{0, "\xfe\xff", "text in UTF-16: save it as UTF-8"},
	} {
		if len(data) > known.at && bytes.HasPrefix(data[known.at:], []byte(known.magic)) {
			return known.name
		}
	}
	return "a file of another kind"
}

// maxTextsBytes bounds all texts of one file together: a picture may hold thousands of packed ones, or
// name the same bytes thousands of times.
const maxTextsBytes = 4 * MaxFileTextBytes

// carried collects what stands in a file; the first of each sort counts.
type carried struct {
	ui, api    json.RawMessage
	parameters *Parameters
	spent      int   // bytes of text that were looked at
	problem    error // of the first text that looked like one of them and is none
}

// spend reports whether a text of so many bytes may still be looked at.
func (f *carried) spend(n int) bool {
	if n > MaxFileTextBytes || f.spent+n > maxTextsBytes {
		f.complain(errTextTooLong)
		return false
	}
	f.spent += n
	return true
}

// addNamed takes a text that a file has under a name.
func (f *carried) addNamed(name, text string) {
	switch strings.ToLower(name) {
	case "workflow", "prompt":
		f.addJSON([]byte(text))
	case "parameters":
		f.addText(text)
	}
}

// addText takes a text that may be anything: JSON, "workflow:" or "prompt:" before JSON, or parameters.
func (f *carried) addText(text string) {
	text = strings.TrimSpace(strings.Trim(text, "\x00"))
	if name, rest, ok := strings.Cut(text, ":"); ok && (strings.EqualFold(name, "workflow") || strings.EqualFold(name, "prompt")) {
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "{") {
			text = rest
		}
	}
	if strings.HasPrefix(text, "{") {
		f.addJSON([]byte(text))
		return
	}
	if f.parameters != nil || !f.spend(len(text)) {
		return
	}
	if p, ok := ParseParameters(text); ok {
		f.parameters = p
	}
}

// addJSON sorts a document by its looks, since programs are not careful about names.
func (f *carried) addJSON(text []byte) {
	if !f.spend(len(text)) {
		return
	}
	text = WithoutNaN(text)
	if err := CheckJSON(text, MaxGraphDepth); err != nil {
		f.complain(err)
		return
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil || top == nil {
		f.complain(&GraphError{Problem: "a graph is a JSON object"})
		return
	}
	switch {
	case looksLikeUI(top):
		if f.ui == nil {
			f.ui = text
		}
	case looksLikeRequest(top):
		f.addRequest(top)
	case f.api == nil:
		f.api = text
	}
}

// looksLikeRequest knows the body of POST /prompt: the graph is one member of it.
func looksLikeRequest(top map[string]json.RawMessage) bool {
	var inner map[string]json.RawMessage
	if firstByte(top["prompt"]) != '{' || json.Unmarshal(top["prompt"], &inner) != nil {
		return false
	}
	_, isNode := inner["class_type"]
	return !isNode
}

func (f *carried) addRequest(top map[string]json.RawMessage) {
	if f.api == nil {
		f.api = top["prompt"]
	}
	var extra struct {
		PNGInfo struct {
			Workflow json.RawMessage `json:"workflow"`
		} `json:"extra_pnginfo"`
	}
	var ui map[string]json.RawMessage
	_ = json.Unmarshal(top["extra_data"], &extra) // absent in most
	if f.ui == nil && json.Unmarshal(extra.PNGInfo.Workflow, &ui) == nil && looksLikeUI(ui) {
		f.ui = extra.PNGInfo.Workflow
	}
}

func (f *carried) complain(err error) {
	if f.problem == nil {
		f.problem = err
	}
}

// file reads what was found. A broken graph in API format is no loss where the editor's is there.
func (f *carried) file(container string) (*File, error) {
	out := &File{Container: container, UI: f.ui, Parameters: f.parameters}
	if f.api != nil {
		g, err := ParseGraph(f.api)
		if err != nil {
			f.complain(err)
		} else {
			out.API = g
		}
	}
	switch {
	case out.UI != nil || out.API != nil || out.Parameters != nil:
		return out, nil
	case f.problem != nil:
		return nil, f.problem
	}
	return nil, fmt.Errorf("%w: programs that send or show pictures often take it out", ErrNoWorkflow)
}
