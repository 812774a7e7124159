package studio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // decoders of the formats that are taken; no others
	"image/jpeg"
	_ "image/png"
	"io"
	"time"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"
)

// Limits of a picture. Its size is known from its header, before anything is decoded.
const (
	maxPixels     = 64_000_000
	decodeWait    = 30 * time.Second // 64 megapixels take about two
	thumbnailSide = 512              // pixels of the longer side
	thumbnailMIME = "image/jpeg"
	thumbnailQual = 82
)

// extensions of the formats that are stored and served.
var extensions = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp",
}

// errNotPicture: the bytes are none of the formats that are taken, whatever their name says.
// errBadPicture: they begin like one, but cannot be decoded.
// errLargePicture: it has more than maxPixels.
var (
	errNotPicture   = errors.New("not a png, jpeg, gif or webp")
	errBadPicture   = errors.New("picture cannot be decoded")
	errLargePicture = errors.New("picture is too large")
)

// picture is what was found out about a picture by looking at its bytes.
type picture struct {
	MIME          string
	Width, Height int
	Thumbnail     []byte // JPEG, at most thumbnailSide on its longer side
	Color         string // average, #rrggbb
}

// sniff tells the format from the first bytes: the name of a file and the word of a server prove
// nothing, and what is served must be what it says.
func sniff(head []byte) (mime string, ok bool) {
	switch {
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png", true
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "image/jpeg", true
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return "image/gif", true
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return "image/webp", true
	}
	return "", false
}

// examine decodes a picture as a whole, which proves that it is one, and makes its thumbnail.
// slots bounds how many are decoded at once.
func examine(ctx context.Context, r io.ReadSeeker, slots chan struct{}) (p picture, err error) {
	err = opened(ctx, r, slots, func(mime string, decoded image.Image, width, height int) error {
		p, err = describe(mime, decoded, width, height)
		return err
	})
	return p, err
}

// opened decodes a picture as a whole, and has a slot while use is at it.
func opened(ctx context.Context, r io.ReadSeeker, slots chan struct{}, use func(mime string, decoded image.Image, width, height int) error) error {
	head := make([]byte, 12)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read picture: %w", err)
	}
	mime, ok := sniff(head[:n])
	if !ok {
		return errNotPicture
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read picture: %w", err)
	}
	config, _, err := image.DecodeConfig(still(r))
	if err != nil {
		return fmt.Errorf("%w: %w", errBadPicture, err)
	}
	switch {
	case config.Width <= 0 || config.Height <= 0:
		return fmt.Errorf("%w: %d x %d pixels", errBadPicture, config.Width, config.Height)
	case int64(config.Width)*int64(config.Height) > maxPixels:
		return fmt.Errorf("%w: %d x %d pixels", errLargePicture, config.Width, config.Height)
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read picture: %w", err)
	}
	decoded, err := decode(ctx, still(r))
	if err != nil {
		return err
	}
	return use(mime, decoded, config.Width, config.Height)
}

// describe makes a picture's thumbnail.
func describe(mime string, decoded image.Image, width, height int) (picture, error) {
	small := shrink(decoded)
	var thumbnail bytes.Buffer
	if err := jpeg.Encode(&thumbnail, small, &jpeg.Options{Quality: thumbnailQual}); err != nil {
		return picture{}, fmt.Errorf("encode thumbnail: %w", err)
	}
	return picture{MIME: mime, Width: width, Height: height, Thumbnail: thumbnail.Bytes(), Color: average(small)}, nil
}

// decode decodes r for at most decodeWait. Few bytes can mean much work: a progressive JPEG may go over
// all its pixels for every seventy of them. No decoder can be told to stop, but each asks for bytes.
func decode(ctx context.Context, r io.Reader) (image.Image, error) {
	limited, cancel := context.WithTimeout(ctx, decodeWait)
	defer cancel()
	decoded, _, err := image.Decode(untilDone{limited, r})
	switch {
	case err == nil:
		return decoded, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w: %w", errBadPicture, err)
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context // lives for one decode
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// shrink fits a picture into the size of a thumbnail, on white where it is transparent. A small
// one keeps its size.
func shrink(src image.Image) *image.RGBA {
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	if longer := max(w, h); longer > thumbnailSide {
		w, h = max(w*thumbnailSide/longer, 1), max(h*thumbnailSide/longer, 1)
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(dst, dst.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.ApproxBiLinear.Scale(dst, dst.Bounds(), src, b, draw.Over, nil)
	return dst
}

// average is the mean colour of an opaque picture.
func average(img *image.RGBA) string {
	var r, g, b, n uint64
	for i := 0; i+3 < len(img.Pix); i += 4 {
		r, g, b, n = r+uint64(img.Pix[i]), g+uint64(img.Pix[i+1]), b+uint64(img.Pix[i+2]), n+1
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("#%02x%02x%02x", r/n, g/n, b/n)
}
