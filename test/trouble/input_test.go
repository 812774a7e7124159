package trouble

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"easel/test/harness"
)

// raw sends bytes over a connection of its own and gives the answer to them. An endless body stops
// when the other side has closed.
func raw(t *testing.T, e *harness.Easel, head string, body io.Reader, half bool) (*http.Response, string) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(e.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	if body != nil {
		sending.Go(func() {
			_, _ = io.Copy(c, body) // ends when the server has had enough
			if half {
				_ = c.(*net.TCPConn).CloseWrite()
			}
		})
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer to %.80q: %v", head, err)
	}
	content, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // a stream has no end, a cut one an error
	_ = response.Body.Close()
	_ = c.Close()
	sending.Wait()
	return response, string(content)
}

// zeros is a body without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// chunks is a chunked body without an end.
func chunks() io.Reader {
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 32<<10, strings.Repeat(" ", 32<<10))
	return &forever{chunk: []byte(chunk)}
}

type forever struct {
	chunk []byte
	at    int
}

func (f *forever) Read(p []byte) (int, error) {
	n := copy(p, f.chunk[f.at:])
	f.at = (f.at + n) % len(f.chunk)
	return n, nil
}

// What strangers send, byte by byte (rows 27, 28, 34 to 38; P28, P30, P36): a refusal in words, never
// an error of ours, and one line in the log each.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	id := r.Generate(harness.Ask{Prompt: "something to ask for", Steps: 3})
	r.AwaitStatus(id, "complete")
	host := "Host: " + strings.TrimPrefix(r.Easel.URL, "http://")
	postJSON := "POST /api/generate HTTP/1.1\n" + host + "\nContent-Type: application/json\nConnection: close\n"
	postForm := "POST /generations HTTP/1.1\n" + host + "\nConnection: close\n"
	get := func(target string) string { return "GET " + target + " HTTP/1.1\n" + host + "\nConnection: close" }
	parts := "--b\r\n" + strings.Repeat("Content-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n--b\r\n", 10_000)
	page := func(path string) string { return get(path) + "\nAccept: text/html" }
	other := "01900000-0000-7000-8000-000000000000"

	for name, c := range map[string]struct {
		head  string
		body  io.Reader
		half  bool
		want  int
		holds string
	}{
		"body of a gigabyte":      {head: postJSON + "Content-Length: 1073741824", body: zeros{}, want: 413},
		"chunks without end":      {head: postJSON + "Transfer-Encoding: chunked", body: chunks(), want: 413},
		"form without end":        {head: postForm + "Content-Type: application/x-www-form-urlencoded\nTransfer-Encoding: chunked", body: chunks(), want: 413},
		"body shorter than said":  {head: postJSON + "Content-Length: 1000", body: strings.NewReader(`{"prompt":"short"}`), half: true, want: 400},
		"length that is none":     {head: postJSON + "Content-Length: many", want: 400},
		"two lengths":             {head: postJSON + "Content-Length: 2\nContent-Length: 3", want: 400},
		"negative length":         {head: postJSON + "Content-Length: -1", want: 400},
		"text for JSON":           {head: strings.Replace(postJSON, "application/json", "text/plain", 1) + "Content-Length: 14", body: strings.NewReader(`{"prompt":"x"}`), want: 415},
		"form as text":            {head: postForm + "Content-Type: text/plain\nContent-Length: 8", body: strings.NewReader("prompt=x"), want: 415},
		"multipart cut":           {head: postForm + "Content-Type: multipart/form-data; boundary=b\nContent-Length: 10", body: strings.NewReader("--b\r\nConte"), want: 400},
		"multipart, no boundary":  {head: postForm + "Content-Type: multipart/form-data\nContent-Length: 5", body: strings.NewReader("--b\r\n"), want: 400},
		"ten thousand parts":      {head: postForm + "Content-Type: multipart/form-data; boundary=b\nContent-Length: " + fmt.Sprint(len(parts)), body: strings.NewReader(parts), want: 400},
		"no host":                 {head: "GET / HTTP/1.1\nConnection: close", want: 400},
		"two hosts":               {head: "GET / HTTP/1.1\n" + host + "\nHost: evil.example\nConnection: close", want: 400},
		"foreign host":            {head: "GET / HTTP/1.1\nHost: evil.example\nConnection: close", want: 421},
		"foreign absolute target": {head: "GET http://evil.example/ HTTP/1.1\n" + host + "\nConnection: close", want: 421},
		"HTTP/1.0 without host":   {head: "GET / HTTP/1.0", want: 400},
		"foreign origin":          {head: postForm + "Origin: http://evil.example\nSec-Fetch-Site: cross-site\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 8", body: strings.NewReader("prompt=x"), want: 403},
		"not a UUID":              {head: page("/generations/1"), want: 404, holds: "There is no such generation."},
		"unknown UUID":            {head: page("/generations/" + other), want: 404, holds: "There is no such generation."},
		"UUID in capitals":        {head: page("/generations/" + strings.ToUpper(id)), want: 404, holds: "There is no such generation."},
		"way out of a folder":     {head: get("/static/..%2f..%2fetc%2fpasswd"), want: 404},
		"page below zero":         {head: get("/api/generations?limit=-1"), want: 200, holds: id},
		"limit of a billion":      {head: get("/api/generations?limit=1000000000"), want: 200, holds: id},
		"a cursor of one's own":   {head: get("/api/generations?cursor=%27%3Bdrop+table"), want: 400},
		"ComfyUI's own paths":     {head: get("/object_info"), want: 404}, // P30
		"ComfyUI's view":          {head: get("/view?filename=image_00001_.png"), want: 404},
		"metrics for a proxy":     {head: get("/metrics") + "\nX-Forwarded-For: 203.0.113.9", want: 404},
		"TRACE":                   {head: "TRACE / HTTP/1.1\n" + host + "\nConnection: close", want: 405},
		"header without end":      {head: get("/") + "\nX-Long: " + strings.Repeat("a", 2<<20), want: 431},
		"forwarded by nobody":     {head: get("/embed/generations/"+id) + "\nX-Forwarded-Host: evil.example\nX-Forwarded-Proto: https\nRemote-User: admin", want: 200},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := raw(t, r.Easel, c.head, c.body, c.half)
			if response.StatusCode != c.want {
				t.Errorf("answered %d, want %d\n%.400s", response.StatusCode, c.want, body)
			}
			if !contains(body, c.holds) {
				t.Errorf("the answer does not hold %q:\n%.400s", c.holds, body)
			}
			if contains(body, "evil.example") {
				t.Errorf("the answer repeats a foreign name:\n%s", body)
			}
			number := response.Header.Get("X-Request-Id")
			if number == "" && c.want != 400 && c.want != 431 { // those net/http refuses before us
				t.Error("the answer has no number")
			}
			if number != "" {
				lines := func() int { return strings.Count(r.Log(), number) }
				harness.Eventually(t, "is there a line in the log", func() bool { return lines() > 0 })
				if n := lines(); n != 1 {
					t.Errorf("%d lines in the log, want 1", n)
				}
			}
		})
	}
	if n := r.Count("SELECT count(*) FROM generations"); n != 1 {
		t.Errorf("%d generations are stored, want 1", n)
	}

	for _, last := range []string{"text", "1180591620717411303424", "end-" + other + "-0", "connected-" + id} {
		t.Run("Last-Event-ID "+last, func(t *testing.T) { // row 36
			response, body := raw(t, r.Easel, get("/api/generate/progress?promptId="+id)+"\nLast-Event-ID: "+last, nil, false)
			if response.StatusCode != 200 || !contains(body, `"type":"connected"`) || !contains(body, `"type":"complete"`) {
				t.Errorf("answered %d\n%s", response.StatusCode, body)
			}
		})
	}
}

// One key, a thousand posts at once (row 26): one generation, and everybody hears of it.
func TestThousandPostsWithOneKey(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	const posts = 1000
	var answers sync.Map
	var group sync.WaitGroup
	for range posts {
		group.Go(func() {
			for {
				g, status, err := r.Try(t.Context(), harness.Ask{Prompt: "one of a thousand", Key: "the key", Steps: 3})
				switch {
				case err == nil && status == http.StatusCreated:
					n, _ := answers.LoadOrStore(g.ID, new(counter))
					n.(*counter).add()
					return
				case err == nil && status == http.StatusServiceUnavailable: // it was told to come again
				default:
					t.Errorf("POST: status %d, %v", status, err)
					return
				}
			}
		})
	}
	group.Wait()
	ids := 0
	answers.Range(func(id, n any) bool {
		ids++
		if got := n.(*counter).n; got != posts {
			t.Errorf("%d of %d posts were given %s", got, posts, id)
		}
		r.AwaitStatus(id.(string), "complete")
		return true
	})
	if n := r.Count("SELECT count(*) FROM generations"); ids != 1 || n != 1 {
		t.Errorf("%d generations were told of and %d stored, want one", ids, n)
	}
	if _, status, err := r.Try(t.Context(), harness.Ask{Prompt: "another body", Key: "the key"}); err != nil || status != http.StatusUnprocessableEntity {
		t.Errorf("the key with another body: %d, %v, want 422", status, err) // row 25
	}
	r.once()
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

// Texts that try to be something else (rows 4 to 8) come back as they were, in every face.
func TestPromptsThatTry(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.stepper.Open()
	for _, prompt := range []string{
		`<script>alert(1)</script>`, `'+alert(1)+'`, `{{7*7}} ${x} @post('/x')`, "\u202egnp.exe", "a\u200bb", "🖼️ 𝒳",
		"one\ntwo\rthree\r\ndata: {\"type\":\"complete\"}",
	} {
		id := r.Generate(harness.Ask{Prompt: prompt, Steps: 2})
		g := r.AwaitStatus(id, "complete")
		if g.Prompt != prompt {
			t.Errorf("the prompt %q came back as %q", prompt, g.Prompt)
		}
		for _, p := range <-r.Follow(id) {
			if p.Type != "connected" && p.Type != "complete" && p.Type != "progress" {
				t.Errorf("an event of %q is %+v", prompt, p)
			}
		}
		if _, html := r.Get("/generations/" + id); contains(html, "<script>alert") {
			t.Errorf("the page holds %q as markup", prompt)
		}
	}
	for prompt, want := range map[string]int{"": 422, "a\x00b": 422, strings.Repeat("x", 100_000): 422} {
		if _, status, err := r.Try(t.Context(), harness.Ask{Prompt: prompt}); err != nil || status != want {
			t.Errorf("prompt %.10q: status %d, %v, want %d", prompt, status, err, want)
		}
	}
	for body, want := range map[string]int{
		`{"prompt":"\ud800"}`: 422, "{\"prompt\":\"\xff\"}": 422, `{"prompt":"a","prompt":"b"}`: 422,
		strings.Repeat(`[`, 10_000): 400, `{"prompt":"x"`: 400,
	} {
		status := postBytes(t, r.Easel, []byte(body))
		if status != want && (want != 422 || status != 400) {
			t.Errorf("body %.30q: status %d, want %d", body, status, want)
		}
	}
}

func postBytes(t *testing.T, e *harness.Easel, body []byte) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+"/api/generate", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var problem struct{ Title string }
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || problem.Title == "" {
		t.Errorf("body %.30q: the answer is no problem+json: %v", body, err)
	}
	return response.StatusCode
}
