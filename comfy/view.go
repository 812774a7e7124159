package comfy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"unicode"
	"unicode/utf8"
)

// Download is a file on its way. Read it to its end, where a cut one gives an error instead of io.EOF, and close
// it in any case.
type Download struct {
	ContentType string // by the file's extension, as the server says; do not trust it
	Size        int64  // as announced; -1 if the server sends in chunks and does not know

	body    io.ReadCloser
	left    int64 // of the cap
	limit   int64
	p       *patience
	ctx     context.Context // the caller's, to tell its end from the server's
	inner   context.Context
	release func()
}

// View fetches a file as it lies on the server, metadata included. It fails with ErrNotFound if the file is gone,
// with ErrUnsafeName if its name has control characters, with ErrTooLarge beyond ClientOptions.MaxDownload.
// ctx covers the reading of the Download too.
func (c *Client) View(ctx context.Context, f OutputFile) (*Download, error) {
	const what = "fetch file"
	if err := checkName(f.Filename, f.Subfolder, f.Type); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	req, err := c.request(call{method: http.MethodGet, path: "/view", query: url.Values{
		"filename": {f.Filename}, "subfolder": {f.Subfolder}, "type": {f.Type},
	}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	req.Header.Set("Accept-Encoding", "identity") // a compressed body has no length to check

	release, err := c.slots.take(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	inner, p := withPatience(ctx, c.options.TransferTimeout)
	d, err := c.view(ctx, req.WithContext(inner), what)
	if err != nil {
		p.stop()
		release()
		return nil, err
	}
	p.heard()
	d.ctx, d.inner, d.p, d.release = ctx, inner, p, release
	return d, nil
}

func (c *Client) view(ctx context.Context, req *http.Request, what string) (*Download, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, failed(ctx, what, timedOut(req.Context(), err))
	}
	if err := c.viewable(resp); err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &Download{
		ContentType: resp.Header.Get("Content-Type"),
		Size:        resp.ContentLength,
		body:        resp.Body,
		left:        c.options.MaxDownload,
		limit:       c.options.MaxDownload,
	}, nil
}

func (c *Client) viewable(resp *http.Response) error {
	if err := refused(resp); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		a := answer{status: resp.StatusCode, body: errorBody(resp)}
		if a.status == http.StatusNotFound {
			return fmt.Errorf("%w: %w", ErrNotFound, a.statusError())
		}
		a.html = isHTML(resp.Header, a.body)
		return a.ok()
	}
	switch {
	case isHTML(resp.Header, nil):
		return fmt.Errorf("%w: a page of HTML", ErrNotComfyUI)
	case resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		return fmt.Errorf("%w: compressed though not asked to", ErrNotComfyUI)
	case resp.ContentLength > c.options.MaxDownload:
		return fmt.Errorf("%d bytes: %w", resp.ContentLength, ErrTooLarge)
	case resp.ContentLength < 0 && len(resp.TransferEncoding) == 0:
		return fmt.Errorf("%w: no length announced", ErrCutBody)
	}
	return nil
}

// Read reads on. A body that ends before its announced length is ErrCutBody, one that goes on beyond the cap
// ErrTooLarge.
func (d *Download) Read(b []byte) (int, error) {
	if int64(len(b)) > d.left+1 {
		b = b[:d.left+1]
	}
	n, err := d.body.Read(b)
	if n > 0 {
		d.p.heard()
	}
	if int64(n) > d.left {
		n, d.left = int(d.left), 0
		return n, fmt.Errorf("fetch file: over %d bytes: %w", d.limit, ErrTooLarge)
	}
	d.left -= int64(n)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("fetch file: %w", ErrCutBody)
	}
	return n, failed(d.ctx, "fetch file", timedOut(d.inner, err))
}

// Close gives the connection back. It may be called more than once.
func (d *Download) Close() error {
	err := d.body.Close()
	d.p.stop()
	d.release()
	return err
}

// checkName refuses names that cannot be a file's: everything else is percent-encoded on its way and means
// nothing to us.
func checkName(filename string, others ...string) error {
	if filename == "" {
		return fmt.Errorf("%w: empty", ErrUnsafeName)
	}
	for _, s := range append([]string{filename}, others...) {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: %q", ErrUnsafeName, s)
		}
		for _, r := range s {
			if unicode.IsControl(r) {
				return fmt.Errorf("%w: %q", ErrUnsafeName, s)
			}
		}
	}
	return nil
}
