package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/google/uuid"

	"easel/studio"
)

func (f *fakeStudio) Upload(_ context.Context, _ uuid.UUID, r io.Reader) (studio.Upload, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return studio.Upload{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		return studio.Upload{}, f.err
	case len(data) > studio.MaxUploadBytes:
		return studio.Upload{}, studio.ErrUploadTooLarge
	case !bytes.HasPrefix(data, []byte("picture")):
		return studio.Upload{}, &studio.InvalidError{Fields: []studio.FieldError{{Field: "file", Message: "This is no picture."}}}
	}
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	if f.uploads == nil {
		f.uploads = map[string][]byte{}
	}
	f.uploads[name] = data
	return studio.Upload{SHA256: name, MIME: "image/png", Size: int64(len(data)), Width: 1200, Height: 800, CreatedAt: f.now}, nil
}

func (f *fakeStudio) UploadOutput(ctx context.Context, user, generation uuid.UUID, image, output int) (studio.Upload, error) {
	file, err := f.Output(ctx, generation, image, output, false)
	if err != nil {
		return studio.Upload{}, err
	}
	return f.Upload(ctx, user, io.MultiReader(bytes.NewReader([]byte("picture ")), file.Body))
}

func (f *fakeStudio) UploadFile(_ context.Context, sum string, _ bool) (*studio.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.uploads[sum]
	if !ok {
		return nil, studio.ErrNoUpload
	}
	return &studio.File{Body: nopCloser{bytes.NewReader(data)}, SHA256: sum, MIME: "image/png", Size: int64(len(data)), Name: "easel.png", Time: f.now}, nil
}

func (f *fakeStudio) UploadSize(_ context.Context, sum string) (width, height int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.uploads[sum]; !ok {
		return 0, 0, studio.ErrNoUpload
	}
	return 1200, 800, nil
}
