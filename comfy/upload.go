package comfy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
)

// Upload is a picture for a LoadImage node.
type Upload struct {
	Name      string // wished; ComfyUI may choose another
	Subfolder string // below the server's input folder; may be empty
	Overwrite bool   // replace a file of that name and other content; without it ComfyUI appends " (1)"
	Content   io.Reader
	Size      int64 // of Content in bytes; at most 100 MiB, beyond which ComfyUI refuses
}

// Upload stores a picture in the server's input folder and returns its name there, subfolder included, as
// LoadImage takes it. It is not necessarily the name that was wished for.
func (c *Client) Upload(ctx context.Context, u Upload) (name string, err error) {
	const what = "upload image"
	if err := checkName(u.Name, u.Subfolder); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if u.Size > maxUpload {
		return "", fmt.Errorf("%s: %d bytes: %w", what, u.Size, ErrTooLarge)
	}
	a, err := c.upload(ctx, what, u)
	if err != nil {
		return "", err
	}
	if a.status == http.StatusRequestEntityTooLarge {
		return "", fmt.Errorf("%s: %w: %w", what, ErrTooLarge, a.statusError())
	}
	var reply struct{ Name, Subfolder string }
	if err := a.object(&reply); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if err := checkName(reply.Name, reply.Subfolder); err != nil {
		return "", fmt.Errorf("%s: the name in the answer: %w", what, err)
	}
	if reply.Subfolder != "" {
		return reply.Subfolder + "/" + reply.Name, nil
	}
	return reply.Name, nil
}

func (c *Client) upload(ctx context.Context, what string, u Upload) (*answer, error) {
	// The parts before and after the content are made here, so that the length is known and nothing is copied.
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	fields := [][2]string{{"type", "input"}, {"subfolder", u.Subfolder}}
	if u.Overwrite {
		fields = append(fields, [2]string{"overwrite", "true"})
	}
	for _, f := range fields {
		if err := w.WriteField(f[0], f[1]); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	if _, err := w.CreateFormFile("image", u.Name); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	head := form.Len()
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	k := call{what: what, method: http.MethodPost, path: "/upload/image", transfer: true}
	req, err := c.request(k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	release, err := c.slots.take(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer release()
	inner, p := withPatience(ctx, c.options.TransferTimeout)
	defer p.stop()

	body := io.MultiReader(bytes.NewReader(form.Bytes()[:head]), io.LimitReader(u.Content, u.Size), bytes.NewReader(form.Bytes()[head:]))
	sent := &uploadBody{Reader: patientReader{body, p}, done: make(chan struct{})}
	defer func() { <-sent.done }() // the transport may still read after an error; u.Content is the caller's again when we return
	req.Body = sent
	req.ContentLength = int64(form.Len()) + u.Size
	req.Header.Set("Content-Type", w.FormDataContentType())
	return c.roundTrip(ctx, c.http, req.WithContext(inner), k, p)
}

// uploadBody tells when the transport has let go of it.
type uploadBody struct {
	io.Reader // each read is a sign of life: the server takes what we send
	done      chan struct{}
	once      sync.Once
}

func (b *uploadBody) Close() error {
	b.once.Do(func() { close(b.done) })
	return nil
}
