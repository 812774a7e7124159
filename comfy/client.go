package comfy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"easel/comfy/workflow"
)

// requestsAtOnce is what one server gets from us at the same time. Its HTTP, its socket and the loading of
// previews share one event loop.
const requestsAtOnce = 4

// ClientOptions are the limits of a Client; a zero field takes the default named here.
type ClientOptions struct {
	APITimeout      time.Duration // 10 s: one request with its whole answer
	SubmitTimeout   time.Duration // 30 s: POST /prompt, which validates the graph before it answers
	TransferTimeout time.Duration // 60 s: longest silence within a download, an upload, object_info
	MaxDownload     int64         // 256 MiB: one file of /view

	// Proxy chooses a proxy as in http.Transport. nil is none: the environment's proxy is for the way out to the
	// internet, and a ComfyUI stands on this machine or in this network.
	Proxy func(*http.Request) (*url.URL, error)
}

// Client speaks HTTP with one ComfyUI server. It is safe for concurrent use, and all users of one server share
// one Client: it holds the limit of four requests at once.
//
// It sends no Origin (ComfyUI compares it with Host), follows no redirect (ComfyUI sends none), reads no body
// beyond a cap, and retries nothing.
type Client struct {
	endpoint *endpoint
	options  ClientOptions
	http     *http.Client
	once     *http.Client // a connection for each request; see Submit
	slots    *slots
	jobs     jobsAPI
}

// NewClient makes a client for the server at baseURL: http or https, with or without a path prefix. A user and
// password in it are sent as Basic authentication and shown nowhere. Nothing is sent yet.
func NewClient(baseURL string, o ClientOptions) (*Client, error) {
	e, err := parseEndpoint(baseURL)
	if err != nil {
		return nil, fmt.Errorf("comfyui client: %w", err)
	}
	o.APITimeout = cmp.Or(o.APITimeout, 10*time.Second)
	o.SubmitTimeout = cmp.Or(o.SubmitTimeout, 30*time.Second)
	o.TransferTimeout = cmp.Or(o.TransferTimeout, 60*time.Second)
	o.MaxDownload = cmp.Or(o.MaxDownload, defaultMaxDownload)

	transport := &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            dialer().DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           requestsAtOnce,
		MaxIdleConnsPerHost:    requestsAtOnce,
		IdleConnTimeout:        20 * time.Second, // well under the 75 s after which aiohttp closes
		MaxResponseHeaderBytes: maxHeader,
	}
	single := transport.Clone()
	single.DisableKeepAlives = true
	return &Client{
		endpoint: e,
		options:  o,
		http:     &http.Client{Transport: transport, CheckRedirect: noRedirect},
		once:     &http.Client{Transport: single, CheckRedirect: noRedirect},
		slots:    newSlots(requestsAtOnce),
	}, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// String is the base URL without user and password.
func (c *Client) String() string { return c.endpoint.String() }

// GoString is String: no formatting verb shows the password.
func (c *Client) GoString() string { return c.String() }

// Close drops idle connections. Requests under way are not disturbed.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.once.CloseIdleConnections()
}

// call is one request and what to allow it.
type call struct {
	what     string // what is being tried, for errors: "read queue"
	method   string
	path     string // below the base URL, escaped
	query    url.Values
	json     any // the body, if not nil
	transfer bool
	limit    int64 // of the answer; 0 is maxSmallBody
}

// answer is a whole response.
type answer struct {
	status int
	html   bool // a page for people
	body   []byte
}

// do sends a request and reads its answer, whatever the status but a redirect.
func (c *Client) do(ctx context.Context, k call) (*answer, error) {
	req, err := c.request(k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.what, err)
	}
	release, err := c.slots.take(ctx, k.transfer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.what, err)
	}
	defer release()

	if !k.transfer {
		inner, cancel := context.WithTimeout(ctx, c.options.APITimeout)
		defer cancel()
		return c.roundTrip(ctx, c.http, req.WithContext(inner), k, nil)
	}
	inner, p := withPatience(ctx, c.options.TransferTimeout)
	defer p.stop()
	return c.roundTrip(ctx, c.http, req.WithContext(inner), k, p)
}

// request builds the request, still without a context.
func (c *Client) request(k call) (*http.Request, error) {
	var body io.Reader
	if k.json != nil {
		b, err := json.Marshal(k.json)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), k.method, c.endpoint.url(k.path, k.query), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.endpoint.authorize(req.Header)
	return req, nil
}

// roundTrip sends req and reads the answer. ctx is the caller's context, within that of req.
func (c *Client) roundTrip(ctx context.Context, h *http.Client, req *http.Request, k call, p *patience) (*answer, error) {
	resp, err := h.Do(req)
	if err != nil {
		return nil, failed(ctx, k.what, timedOut(req.Context(), err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := refused(resp); err != nil {
		return nil, fmt.Errorf("%s: %w", k.what, err)
	}
	var r io.Reader = resp.Body
	if p != nil {
		p.heard()
		r = patientReader{r, p}
	}
	body, err := readAll(r, cmp.Or(k.limit, maxSmallBody))
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("%s: %w", k.what, err)
	case err != nil:
		return nil, failed(ctx, k.what, timedOut(req.Context(), err))
	}
	return &answer{status: resp.StatusCode, html: isHTML(resp.Header, body), body: body}, nil
}

// timedOut puts the cause of an ended context in place of "context canceled".
func timedOut(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// refused is the error of a redirect: ComfyUI never sends one, a login in front of it does.
func refused(resp *http.Response) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return fmt.Errorf("%w: status %d, a redirect", ErrNotComfyUI, resp.StatusCode)
	}
	return nil
}

func isHTML(h http.Header, body []byte) bool {
	if t, _, err := mime.ParseMediaType(h.Get("Content-Type")); err == nil && (t == "text/html" || t == "application/xhtml+xml") {
		return true
	}
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// get reads one JSON object into v. Any status but 200 is an error.
func (c *Client) get(ctx context.Context, k call, v any) error {
	k.method = http.MethodGet
	a, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	if err := a.object(v); err != nil {
		return fmt.Errorf("%s: %w", k.what, err)
	}
	return nil
}

// post sends one JSON object to a route whose answer has no body: any status but 200 is an error.
func (c *Client) post(ctx context.Context, k call) error {
	k.method = http.MethodPost
	a, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	if err := a.ok(); err != nil {
		return fmt.Errorf("%s: %w", k.what, err)
	}
	return nil
}

// ok is nil for a 200 that is no page.
func (a *answer) ok() error {
	switch {
	case a.status >= 500:
		return fmt.Errorf("%w: %w", ErrUnavailable, a.statusError())
	case a.html:
		return fmt.Errorf("%w: status %d with a page of HTML", ErrNotComfyUI, a.status)
	case a.status == http.StatusNotFound: // the routes asked for are in every ComfyUI
		return fmt.Errorf("%w: %w", ErrNotComfyUI, a.statusError())
	case a.status != http.StatusOK:
		return a.statusError()
	}
	return nil
}

func (a *answer) statusError() *StatusError {
	return &StatusError{Code: a.status, Body: a.body[:min(len(a.body), maxErrorBody)]}
}

// object decodes a 200 whose body is one JSON object. null and lists are valid JSON too, but would read as
// "nothing there", which is a claim that only ComfyUI may make.
func (a *answer) object(v any) error {
	if err := a.ok(); err != nil {
		return err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("{")) {
		return fmt.Errorf("%w: the answer is no JSON object", ErrNotComfyUI)
	}
	if err := json.Unmarshal(workflow.WithoutNaN(a.body), v); err != nil {
		return fmt.Errorf("%w: %w", ErrNotComfyUI, err)
	}
	return nil
}
