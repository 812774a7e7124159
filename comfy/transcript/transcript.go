// Package transcript reads the recordings of a real ComfyUI server that the tests are fed with. Their
// format is described in the README beside them, comfy/testdata/transcripts/README.md.
package transcript

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Kind is what a line of a recording tells of.
type Kind string

// The kinds of lines.
const (
	Meta         Kind = "meta"          // the first line: Title, About, Server
	Note         Kind = "note"          // Text: what the recorder did or saw
	WSConnect    Kind = "ws_connect"    // Path, Headers, OfferDeflate
	WSOpen       Kind = "ws_open"       // Status, Headers
	WSReceive    Kind = "ws_recv"       // a frame of the server
	WSSend       Kind = "ws_send"       // a frame of the client
	WSEOF        Kind = "ws_eof"        // the TCP stream ended
	WSClosed     Kind = "ws_closed"     // the client ended it: How
	HTTPRequest  Kind = "http_request"  // N, Method, Path, Headers, Body
	HTTPResponse Kind = "http_response" // N, Status, Headers, Body
	HTTPError    Kind = "http_error"    // N, Failure: no response came
)

// Entry is one line. Only the fields that its Kind names are set.
type Entry struct {
	Milliseconds float64 `json:"t"` // since the file's start
	Kind         Kind    `json:"kind"`

	Title, About, Server string `json:",omitempty"`

	WS              string  `json:"ws"`  // name of the socket in this file
	Op              string  `json:"op"`  // text, binary, ping, pong, close
	Len             int     `json:"len"` // bytes on the wire; of texts it may differ a little, where paths were changed
	Text            *string `json:"text"`
	TextTruncated   bool    `json:"text_truncated"`
	Event           *int    `json:"event"` // first uint32 of a binary frame
	Base64          string  `json:"b64"`
	Base64Truncated bool    `json:"b64_truncated"`
	SHA256          string  `json:"sha256"` // of the whole frame where it was cut
	Code            int     `json:"code"`
	Reason          string  `json:"reason"`
	Compressed      bool    `json:"compressed"`
	InflatedLen     int     `json:"inflated_len"`
	OfferDeflate    bool    `json:"offer_deflate"`
	How             string  `json:"how"`

	N             int               `json:"n"` // pairs a request with its response
	Method        string            `json:"method"`
	Path          string            `json:"path"`
	Status        int               `json:"status"`
	Headers       map[string]string `json:"headers"`
	Body          *string           `json:"body"`
	BodyBase64    string            `json:"body_b64"`
	BodyLen       int               `json:"body_len"`
	BodyTruncated bool              `json:"body_truncated"`
	BodySHA256    string            `json:"body_sha256"`
	BodyOmitted   bool              `json:"body_omitted"`
	Purpose       string            `json:"note"` // what a request is for
	Failure       string            `json:"error"`
	Detail        string            `json:"detail"`

	promptID string // of the prompt that ran when a text was cut, which the cut took away
}

// At is the time of the entry since the file's start.
func (e Entry) At() time.Duration {
	return time.Duration(e.Milliseconds * float64(time.Millisecond))
}

// File is one recording.
type File struct {
	Name    string // folder and file, without the ending: "01-txt2img/run1-first"
	Entries []Entry
}

// Dir is the folder of the recordings in this source tree.
func Dir() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "testdata", "transcripts")
}

// Names lists the recordings in dir, sorted; an empty dir is Dir().
func Names(dir string) ([]string, error) {
	if dir == "" {
		dir = Dir()
	}
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(path, ".jsonl"); ok && err == nil && !d.IsDir() {
			relative, err := filepath.Rel(dir, name)
			names = append(names, filepath.ToSlash(relative))
			return err
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

// Read reads the recording called name in dir; an empty dir is Dir().
func Read(dir, name string) (*File, error) {
	if dir == "" {
		dir = Dir()
	}
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)+".jsonl"))
	if err != nil {
		return nil, fmt.Errorf("read transcript: %w", err)
	}
	defer f.Close() // only read
	entries, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("read transcript %s: %w", name, err)
	}
	noteRunning(entries)
	return &File{Name: name, Entries: entries}, nil
}

func decode(r io.Reader) ([]Entry, error) {
	var entries []Entry
	d := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	for {
		var e Entry
		switch err := d.Decode(&e); err {
		case nil:
			entries = append(entries, e)
		case io.EOF:
			return entries, nil
		default:
			return nil, fmt.Errorf("entry %d: %w", len(entries)+1, err)
		}
	}
}

// Sockets lists the names of the file's sockets, in the order in which they first show.
func (f *File) Sockets() []string {
	var names []string
	for _, e := range f.Entries {
		if e.WS != "" && !slices.Contains(names, e.WS) {
			names = append(names, e.WS)
		}
	}
	return names
}

// Received lists the frames, text and binary, that the server sent on one socket; an empty name takes all sockets.
func (f *File) Received(ws string) []Entry {
	var frames []Entry
	for _, e := range f.Entries {
		if e.Kind == WSReceive && (ws == "" || e.WS == ws) && (e.Op == "text" || e.Op == "binary") {
			frames = append(frames, e)
		}
	}
	return frames
}

// Exchange is a request with what came of it; Response is nil where none came.
type Exchange struct {
	Request  Entry
	Response *Entry
}

// Exchanges pairs the file's requests with their responses, in the order of the requests.
func (f *File) Exchanges() []Exchange {
	var all []Exchange
	byNumber := map[int]int{}
	for i, e := range f.Entries {
		switch e.Kind {
		case HTTPRequest:
			byNumber[e.N] = len(all)
			all = append(all, Exchange{Request: e})
		case HTTPResponse:
			if at, ok := byNumber[e.N]; ok {
				all[at].Response = &f.Entries[i]
			}
		}
	}
	return all
}
