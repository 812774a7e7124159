package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// start runs a simulator until the test ends.
func start(t *testing.T, c Config) *Running {
	t.Helper()
	r, err := Start("127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// exchange makes one request on a connection of its own. The error is the transport's.
func exchange(t *testing.T, r *Running, method, path, body string) (status int, answer string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(testContext(t), method, r.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := (&http.Transport{DisableCompression: true}).RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

// ask is exchange for requests that must be answered.
func ask(t *testing.T, r *Running, method, path, body string) (status int, answer string) {
	t.Helper()
	status, answer, err := exchange(t, r, method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, answer
}

// graph is text to image with these words, seed and number of steps.
func graph(text string, seed uint64, steps int) string {
	return fmt.Sprintf(`{
		"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "aurora-demo.safetensors"}},
		"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 1}},
		"6": {"class_type": "CLIPTextEncode", "inputs": {"text": %q, "clip": ["4", 1]}},
		"7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
		"3": {"class_type": "KSampler", "inputs": {"seed": %d, "steps": %d, "cfg": 7.0, "sampler_name": "euler",
			"scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
			"latent_image": ["5", 0]}},
		"8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
		"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "test", "images": ["8", 0]}}}`, text, seed, steps)
}

func post(t *testing.T, r *Running, id, client, graph string) {
	t.Helper()
	status, answer := ask(t, r, "POST", "/prompt", promptBody(id, client, graph))
	if status != http.StatusOK {
		t.Fatalf("POST /prompt: %d %s", status, answer)
	}
}

func promptBody(id, client, graph string) string {
	return fmt.Sprintf(`{"prompt": %s, "prompt_id": %q, "client_id": %q}`, graph, id, client)
}

// heard is one frame as a test wants to look at it.
type heard struct {
	Type string
	Data struct {
		PromptID string `json:"prompt_id"`
		Node     *string
		Value    float64
		SID      string
	}
	raw    string
	binary []byte
}

// ears is a socket that a test listens on.
type ears struct {
	t      *testing.T
	conn   *websocket.Conn
	frames chan heard // closed when the connection ends
	pongs  chan struct{}
}

func listenAs(t *testing.T, r *Running, client string) *ears {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.DialContext(testContext(t), "ws"+strings.TrimPrefix(r.URL(), "http")+
		"/ws?clientId="+client, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &ears{t: t, conn: conn, frames: make(chan heard, 4096), pongs: make(chan struct{}, 1)}
	conn.SetPongHandler(func(string) error { e.pongs <- struct{}{}; return nil })
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		defer close(e.frames)
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			h := heard{raw: string(data)}
			if kind == websocket.BinaryMessage {
				h = heard{Type: "binary", binary: data}
			} else {
				_ = json.Unmarshal(data, &h) // what is no JSON has only raw
			}
			e.frames <- h
		}
	}()
	e.until("status")
	return e
}

// until returns the next frame of that type.
func (e *ears) until(kind string) heard {
	e.t.Helper()
	return e.untilWhere(kind, func(h heard) bool { return h.Type == kind })
}

// over waits for the end of a prompt.
func (e *ears) over(id string) {
	e.t.Helper()
	e.untilWhere("the end of "+id, func(h heard) bool {
		return h.Type == "executing" && h.Data.Node == nil && h.Data.PromptID == id
	})
}

func (e *ears) untilWhere(what string, want func(heard) bool) heard {
	e.t.Helper()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	for {
		select {
		case h, open := <-e.frames:
			if !open {
				e.t.Fatalf("the socket ended before %s", what)
			}
			if want(h) {
				return h
			}
		case <-timeout.C:
			e.t.Fatalf("no %s came", what)
		}
	}
}

// ping waits for the answer to a ping: everything that was sent before it has been heard then.
func (e *ears) ping() {
	e.t.Helper()
	if err := e.conn.WriteControl(websocket.PingMessage, []byte("alive?"), time.Now().Add(time.Second)); err != nil {
		e.t.Fatal(err)
	}
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	select {
	case <-e.pongs:
	case <-timeout.C:
		e.t.Fatal("no pong came")
	}
}

// leave closes the socket in order and returns when the server has forgotten it.
func (e *ears) leave() {
	e.t.Helper()
	normal := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := e.conn.WriteMessage(websocket.CloseMessage, normal); err != nil {
		e.t.Fatal(err)
	}
	e.ended()
	_, _ = io.Copy(io.Discard, e.conn.NetConn()) // the server closes it after it took it from its table
}

// ended waits until the connection is over.
func (e *ears) ended() {
	e.t.Helper()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	for {
		select {
		case _, open := <-e.frames:
			if !open {
				return
			}
		case <-timeout.C:
			e.t.Fatal("the socket did not end")
		}
	}
}
