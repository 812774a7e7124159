package handlers

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/starfederation/datastar-go/datastar"
)

func TestEventBytes(t *testing.T) {
	for _, test := range []struct{ name, got, want string }{
		{
			"a patch by id", string(Patch("", "", "", "<p id=\"a\">x</p>")),
			"event: datastar-patch-elements\ndata: elements <p id=\"a\">x</p>\n\n",
		},
		{
			"a patch with everything", string(Patch("42", "#list", "append", "<li>\n\n  x</li>")),
			"event: datastar-patch-elements\nid: 42\ndata: selector #list\ndata: mode append\ndata: elements <li>\ndata: elements \ndata: elements   x</li>\n\n",
		},
		{
			"a removal", string(Patch("", "#old", "remove", "")),
			"event: datastar-patch-elements\ndata: selector #old\ndata: mode remove\n\n",
		},
		{
			"a bare CR, a CRLF and an LF each end one line", string(Patch("", "", "", "a\rb\r\nc\nd\r")),
			"event: datastar-patch-elements\ndata: elements a\ndata: elements b\ndata: elements c\ndata: elements d\ndata: elements \n\n",
		},
		{
			"a prompt that forges an event", string(Patch("", "", "", "<p>\r\revent: datastar-patch-elements\rdata: elements &lt;b></p>")),
			"event: datastar-patch-elements\ndata: elements <p>\ndata: elements \ndata: elements event: datastar-patch-elements\ndata: elements data: elements &lt;b></p>\n\n",
		},
		{"a comment", string(Comment("a\rb")), ": a\n: b\n\n"},
		{"data", string(must(Data("7", map[string]string{"a": "x\r\ny"}))), "id: 7\ndata: {\"a\":\"x\\r\\ny\"}\n\n"},
		{"data without an id", string(must(Data("", 1))), "data: 1\n\n"},
		{"signals", string(must(Signals("", map[string]int{"_n": 1}))), "event: datastar-patch-signals\ndata: signals {\"_n\":1}\n\n"},
		{"signals with an id", string(must(Signals("3", map[string]any{"_n": nil}))), "event: datastar-patch-signals\nid: 3\ndata: signals {\"_n\":null}\n\n"},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// What the SDK writes for text without a CR is what we write, but for its third newline.
func TestEventBytesAreTheSDKs(t *testing.T) {
	sdk := func(send func(*datastar.ServerSentEventGenerator) error) string {
		rec := httptest.NewRecorder()
		if err := send(datastar.NewSSE(rec, httptest.NewRequest(http.MethodGet, "/", nil))); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(rec.Body.String(), "\n")
	}
	const html = "<ul id=\"a\">\n<li>one</li>\n\n<li title=\"&quot;\">two 🙂</li></ul>"
	for _, test := range []struct {
		name string
		ours []byte
		sdk  func(*datastar.ServerSentEventGenerator) error
	}{
		{"patch", Patch("", "", "", html), func(g *datastar.ServerSentEventGenerator) error { return g.PatchElements(html) }},
		{"patch with all fields", Patch("id-1", "#x > li", "prepend", html), func(g *datastar.ServerSentEventGenerator) error {
			return g.PatchElements(html, datastar.WithSelector("#x > li"), datastar.WithModePrepend(), datastar.WithPatchElementsEventID("id-1"))
		}},
		{"remove", Patch("", "#x", "remove", ""), func(g *datastar.ServerSentEventGenerator) error { return g.RemoveElement("#x") }},
		{"signals", must(Signals("s", map[string]any{"a": 1, "b": "x"})), func(g *datastar.ServerSentEventGenerator) error {
			return g.MarshalAndPatchSignals(map[string]any{"a": 1, "b": "x"}, datastar.WithPatchSignalsEventID("s"))
		}},
	} {
		if diff := cmp.Diff(sdk(test.sdk), string(test.ours)); diff != "" {
			t.Errorf("%s (-sdk +ours):\n%s", test.name, diff)
		}
	}
}

// parsedEvent is one event as a browser reads it.
type parsedEvent struct {
	ID, Name, Data string
	Comment        bool // nothing but a comment
}

// parseEvents reads a stream as the HTML standard says: a line ends at LF, CR or CRLF, and an
// empty line ends an event.
func parseEvents(stream string) []parsedEvent {
	var events []parsedEvent
	var now parsedEvent
	var data []string
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(stream), "\n")
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data != nil || now.Comment {
				now.Data = strings.Join(data, "\n")
				events = append(events, now)
			}
			now, data = parsedEvent{}, nil
		case name == "":
			now.Comment = true
		case name == "event":
			now.Name = value
		case name == "id":
			now.ID = value
		case name == "data":
			data = append(data, value)
		}
	}
	return events
}

// Whatever text a patch carries, a browser reads one event with that text, its line ends made LF.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{"", "x", "\r", "\r\n\n\revent: datastar-patch-elements\rdata: elements <b>", "a\u2028b\u0085c", "\x00", "data: x\n\ndata: y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, html string) {
		events := parseEvents(string(Patch("1", "#a", "inner", html)))
		if len(events) != 1 {
			t.Fatalf("%q was read as %d events, want 1", html, len(events))
		}
		got := events[0]
		want := "selector #a\nmode inner"
		if html != "" {
			for line := range strings.SplitSeq(toLF.Replace(html), "\n") {
				want += "\nelements " + line
			}
		}
		if got.Name != "datastar-patch-elements" || got.ID != "1" || got.Data != want {
			t.Errorf("%q was read as %+v, want data %q", html, got, want)
		}
	})
}

func FuzzData(f *testing.F) {
	for _, seed := range []string{"", "\r\r\n\n", "id: 9\r\rdata: x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		events := parseEvents(string(must(Data("1", map[string]string{"text": text}))))
		if len(events) != 1 || events[0].ID != "1" || strings.Contains(events[0].Data, "\n") {
			t.Errorf("%q was read as %+v", text, events)
		}
	})
}

// eventReader reads events one by one from an open stream.
type eventReader struct{ lines *bufio.Reader }

func newEventReader(body *http.Response) *eventReader {
	return &eventReader{bufio.NewReader(body.Body)}
}

// next is the next event; ok is false when the stream has ended or was cut.
func (r *eventReader) next() (parsedEvent, bool) {
	var block strings.Builder
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return parsedEvent{}, false
		}
		block.WriteString(line)
		if line != "\n" {
			continue
		}
		if events := parseEvents(block.String()); len(events) == 1 {
			return events[0], true
		}
		block.Reset()
	}
}
