package handlers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Rows 1-4, 9-16, 21-22 and what else a body can have wrong: the status, and the field by name.
func TestBadBodies(t *testing.T) {
	s := newSite(t, newStrict())
	setting := func(name, value string) string { return fmt.Sprintf(`{"prompt":"x","settings":{%q:%s}}`, name, value) }
	for _, test := range []struct {
		name, body string
		status     int
		fields     []string
	}{
		{"empty prompt", `{"prompt":""}`, 422, []string{"prompt"}},
		{"blank prompt", `{"prompt":" \n "}`, 422, []string{"prompt"}},
		{"no prompt", `{}`, 422, []string{"prompt"}},
		{"null prompt", `{"prompt":null}`, 422, []string{"prompt"}},
		{"long prompt", `{"prompt":"` + strings.Repeat("ü", 100_000) + `"}`, 422, []string{"prompt"}},
		{"prompt that is a number", `{"prompt":5}`, 422, []string{"prompt"}},
		{"NUL", `{"prompt":"a\u0000b"}`, 422, []string{"prompt"}},
		{"half a surrogate", `{"prompt":"a\ud83d"}`, 422, []string{"prompt"}},
		{"the other half", `{"prompt":"a\ude00b"}`, 422, []string{"prompt"}},
		{"two first halves", `{"prompt":"\ud83d\ud83d"}`, 422, []string{"prompt"}},
		{"invalid UTF-8", "{\"prompt\":\"a\xff\"}", 422, []string{"prompt"}},
		{"NUL in a setting", setting("model", `"a\u0000"`), 422, []string{"settings"}},
		{"seed 2^64", setting("seed", "18446744073709551616"), 422, []string{"settings.seed"}},
		{"seed 1e3", setting("seed", "1e3"), 422, []string{"settings.seed"}},
		{"seed NaN", setting("seed", `"NaN"`), 422, []string{"settings.seed"}},
		{"seed in wide digits", setting("seed", `"０１"`), 422, []string{"settings.seed"}},
		{"width 0", setting("width", "0"), 422, []string{"settings.width"}},
		{"width 10^9", setting("width", "1000000000"), 422, []string{"settings.width"}},
		{"width 512.5", setting("width", "512.5"), 422, []string{"settings.width"}},
		{"unknown field", `{"prompt":"x","propmt":"y"}`, 422, []string{"propmt"}},
		{"unknown setting", setting("stepps", "5"), 422, []string{"settings.stepps"}},
		{"settings that are a list", `{"prompt":"x","settings":[]}`, 422, []string{"settings"}},
		{"no images", `{"prompt":"x","totalImages":0}`, 422, []string{"totalImages"}},
		{"too many images", `{"prompt":"x","totalImages":65}`, 422, []string{"totalImages"}},
		{"half an image", `{"prompt":"x","totalImages":1.5}`, 422, []string{"totalImages"}},
		{"webhook that is no text", `{"prompt":"x","webhook":["https://example.com"]}`, 422, []string{"webhook"}},
		{"several at once", `{"prompt":7,"totalImages":-1,"webhook":1,"zzz":1}`, 422, []string{"prompt", "totalImages", "webhook", "zzz"}},
		{"a member twice", `{"prompt":"x","prompt":"y"}`, 400, []string{}},
		{"a member twice, spelled apart", `{"prompt":"x","\u0070rompt":"y"}`, 400, []string{}},
		{"a setting twice", `{"prompt":"x","settings":{"steps":1,"cfg":2,"steps":3}}`, 400, []string{}},
		{"depth 10,000", `{"prompt":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, 400, []string{}},
		{"nothing but open brackets", strings.Repeat("[", 100_000), 400, []string{}},
		{"a list", `[]`, 400, []string{}},
		{"null", `null`, 400, []string{}},
		{"text", `"x"`, 400, []string{}},
		{"two objects", `{"prompt":"x"}{}`, 400, []string{}},
		{"broken off", `{"prompt":"x"`, 400, []string{}},
		{"no JSON", `prompt=x`, 400, []string{}},
		{"a number with a zero in front", `{"prompt":"x","totalImages":01}`, 400, []string{}},
	} {
		res := call(t, s, "POST", "/api/generate", test.body)
		p := decode[problem](t, res, test.status)
		if diff := cmp.Diff(test.fields, fields(p)); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", test.name, diff)
		}
		if p.Status != test.status || p.Title == "" || p.Detail == "" || p.Type != "about:blank" {
			t.Errorf("%s: problem = %+v", test.name, p)
		}
	}
}

// Rows 5-9: what is taken as it is.
func TestGoodBodies(t *testing.T) {
	s := newSite(t, newStrict())
	for _, prompt := range []string{
		`<script>alert(1)</script>`, `'+alert(1)+'`, "{{7*7}} ${x} @post('/x')", "\u202egnp.exe", "a\u200bb", "🙂", "line\nlevel=ERROR msg=forged", "cr\rcr",
	} {
		body := string(must(Data("", map[string]any{"prompt": prompt, "settings": map[string]any{"seed": -1}})))
		body = strings.TrimPrefix(strings.TrimSpace(body), "data: ")
		g := decode[generationJSON](t, call(t, s, "POST", "/api/generate", body), http.StatusCreated)
		if g.Prompt != prompt {
			t.Errorf("prompt %q became %q", prompt, g.Prompt)
		}
		if _, ok := g.Settings["seed"]; !ok {
			t.Errorf("no seed was drawn: %v", g.Settings)
		}
	}
	g := decode[generationJSON](t, call(t, s, "POST", "/api/generate", `{"prompt":"\ud83d\ude42 \\u0000","settings":null}`), http.StatusCreated)
	if g.Prompt != `🙂 \u0000` {
		t.Errorf("prompt = %q", g.Prompt)
	}
}

// Row 28, of JSON.
func TestContentTypeIsChecked(t *testing.T) {
	s := newSite(t, newStrict())
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml", "json", ""} {
		res := call(t, s, "POST", "/api/generate", `{"prompt":"x"}`, "Content-Type", kind)
		decode[problem](t, res, http.StatusUnsupportedMediaType)
	}
	decode[generationJSON](t, call(t, s, "POST", "/api/generate", `{"prompt":"x"}`, "Content-Type", "application/json; charset=utf-8"), http.StatusCreated)
}

// exchange sends raw bytes to a server and reads the one answer.
func exchange(t *testing.T, address string, request io.Reader) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() { _, _ = io.Copy(conn, request) }() // ends with conn
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// A request of a megabyte can have 90,000 members, each of them a mistake.
func TestManyProblems(t *testing.T) {
	var body strings.Builder
	body.WriteString(`{"prompt":"x"`)
	for i := range 90_000 {
		fmt.Fprintf(&body, `,"%x":1`, i)
	}
	res := call(t, newSite(t, newStrict()), "POST", "/api/generate", body.String()+"}")
	if p := decode[problem](t, res, 422); len(p.Errors) != mostProblems || p.Errors[0].Field != "0" {
		t.Errorf("%d problems, the first %+v", len(p.Errors), p.Errors[:1])
	}
}

// What announces a gigabyte is refused at once, and nobody waits for it.
func TestAnnouncedTooMuch(t *testing.T) {
	_, ts := serve(t, newStrict())
	for _, target := range []string{"/api/generate", "/generations", "/settings/theme", "/nowhere"} {
		res := exchange(t, ts.Listener.Addr().String(), strings.NewReader(
			"POST "+target+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{"))
		if res.StatusCode != 413 || !res.Close {
			t.Errorf("%s: %d, connection closed: %v", target, res.StatusCode, res.Close)
		}
	}
}

// endless gives the same bytes for ever; its readers have room for them.
type endless string

func (e endless) Read(p []byte) (int, error) {
	if len(p) < len(e) {
		return 0, io.ErrShortBuffer
	}
	return copy(p, e), nil
}

// Row 27.
func TestBodiesWithoutMeasure(t *testing.T) {
	_, ts := serve(t, newStrict())
	address := ts.Listener.Addr().String()
	head := "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for _, test := range []struct {
		name    string
		request io.Reader
		status  int
	}{
		{"1 GB announced", io.MultiReader(strings.NewReader(head+"Content-Length: 1000000000\r\n\r\n"), endless(strings.Repeat(" ", 32<<10))), 413},
		{"chunked without an end", io.MultiReader(strings.NewReader(head+"Transfer-Encoding: chunked\r\n\r\n"), endless("1000\r\n"+strings.Repeat(" ", 0x1000)+"\r\n")), 413},
		{"Content-Length that is no number", strings.NewReader(head + "Content-Length: 5x\r\n\r\n{}   "), 400},
		{"two lengths", strings.NewReader(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := exchange(t, address, test.request)
			if res.StatusCode != test.status || !res.Close {
				t.Errorf("status %d, connection closed %t; want %d and closed", res.StatusCode, res.Close, test.status)
			}
		})
	}
	t.Run("less than announced", func(t *testing.T) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, head+"Content-Length: 50\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("status = %d, want 400", res.StatusCode)
		}
	})
}

// What is taken is JSON, and holds nothing that a database would refuse or change on the way: no
// NUL, and no replacement character that was not in the body.
func FuzzStrictObject(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"\ud83d\ude00"}`, `{"a":{"b":[1,2,{"c":null}]}}`, `{"a":1,"a":2}`, `{"a":"\u0000"}`, `[`, `{"a":"\ud800\u0041"}`, `{"a":{"\u0000":1}}`, `{"\udc00":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		object, problems, err := strictObject(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no JSON", body)
		}
		if len(problems) > 0 {
			return
		}
		for name, raw := range object {
			var value any
			if err := json.Unmarshal(raw, &value); err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			text := name + fmt.Sprint(value)
			came := bytes.ContainsRune(body, '\uFFFD') || bytes.Contains(bytes.ToLower(body), []byte(`\ufffd`))
			if strings.ContainsRune(text, 0) || strings.ContainsRune(text, '\uFFFD') && !came {
				t.Errorf("%q became %q", body, text)
			}
		}
	})
}
