package studio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/blob"
	"easel/comfy/workflow"
	"easel/db"
)

// Upload is a picture that somebody gave as an input, as it is kept: pixels, and nothing else.
type Upload struct {
	SHA256        string
	MIME          string // image/png or image/jpeg
	Size          int64
	Width, Height int
	Color         string // average, #rrggbb
	CreatedAt     time.Time
}

// Limits of uploads.
const (
	MaxUploadBytes   = 32 << 20  // of a file that is given
	maxKeptUpload    = 100 << 20 // of one as it is kept: ComfyUI takes no more at once
	maxUnusedUploads = 4 << 30   // bytes that one user may have given without using them
)

var (
	// ErrUploadTooLarge says that a file has more than MaxUploadBytes.
	ErrUploadTooLarge = errors.New("upload is too large")
	// ErrNoUpload says that there is no such upload, or no longer.
	ErrNoUpload = errors.New("no such upload")
	// ErrNoStorage says that the storage takes nothing just now.
	ErrNoStorage = errors.New("storage takes nothing")
)

// Upload keeps the picture that r yields. The same picture again is the same upload.
// Errors: *InvalidError for "file", ErrUploadTooLarge, ErrNoStorage, ErrUnavailable; that of r.
func (s *Studio) Upload(ctx context.Context, user uuid.UUID, r io.Reader) (Upload, error) {
	return s.upload(ctx, user, r, MaxUploadBytes)
}

// UploadOutput makes an upload of a stored output. Errors: those of Upload, and ErrNotFound.
func (s *Studio) UploadOutput(ctx context.Context, user, generation uuid.UUID, image, output int) (Upload, error) {
	file, err := s.Output(ctx, generation, image, output, false)
	if err != nil {
		return Upload{}, err
	}
	defer func() { _ = file.Body.Close() }() // read only
	return s.upload(ctx, user, file.Body, maxKeptUpload)
}

func (s *Studio) upload(ctx context.Context, user uuid.UUID, r io.Reader, most int64) (Upload, error) {
	given, err := s.tempFile()
	if err != nil {
		return Upload{}, storageError(err)
	}
	defer func() { _ = given.Close() }() // it goes with that
	switch n, err := io.Copy(given, io.LimitReader(r, most+1)); {
	case err != nil:
		return Upload{}, storageError(fmt.Errorf("take upload: %w", err))
	case n > most:
		return Upload{}, ErrUploadTooLarge
	}
	if _, err := given.Seek(0, io.SeekStart); err != nil {
		return Upload{}, fmt.Errorf("read upload: %w", err)
	}
	kept, err := s.tempFile()
	if err != nil {
		return Upload{}, storageError(err)
	}
	defer func() { _ = kept.Close() }()
	p, err := plain(ctx, given, kept, s.decode)
	if words := unusable(err, given); words != "" {
		return Upload{}, &InvalidError{Fields: []FieldError{{Field: "file", Message: words}}}
	}
	if err != nil {
		return Upload{}, storageError(err)
	}
	if _, err := kept.Seek(0, io.SeekStart); err != nil {
		return Upload{}, fmt.Errorf("read upload: %w", err)
	}
	stored, err := s.blobs.Put(ctx, kept, maxKeptUpload)
	if errors.Is(err, blob.ErrTooLarge) {
		return Upload{}, ErrUploadTooLarge
	}
	if err != nil {
		return Upload{}, storageError(fmt.Errorf("store upload: %w", err))
	}
	thumbnail, err := s.blobs.Put(ctx, bytes.NewReader(p.Thumbnail), maxFileBytes)
	if err != nil {
		return Upload{}, storageError(fmt.Errorf("store thumbnail: %w", err))
	}
	u := Upload{SHA256: stored.SHA256, MIME: p.MIME, Size: stored.Size, Width: p.Width, Height: p.Height, Color: p.Color}
	err = s.keeping(ctx, []string{stored.SHA256, thumbnail.SHA256}, func(q *db.Queries) (err error) {
		u.CreatedAt, err = db.One(q.UploadKeep(ctx, db.UploadKeepParams{
			UserID: user, SHA256: u.SHA256, Thumbnail: thumbnail.SHA256, MIME: u.MIME, Size: u.Size,
			Width: int32(u.Width), Height: int32(u.Height), Color: u.Color, //nolint:gosec // at most 64 million
			MostBytes: maxUnusedUploads,
		}))
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return Upload{}, &InvalidError{Fields: []FieldError{{
			Field: "file", Message: fmt.Sprintf("More than %d GiB of pictures were given that nothing was made of. They are forgotten after a day.", maxUnusedUploads>>30),
		}}}
	case err != nil:
		return Upload{}, unavailable(fmt.Errorf("store upload: %w", err))
	}
	return u, nil
}

// storageError marks what is wrong with the storage, or with the disk for what is not stored yet.
func storageError(err error) error {
	if noSpace(err) || storageAway(err) {
		return fmt.Errorf("%w: %w", ErrNoStorage, err)
	}
	return err
}

// unusable is the sentence about a file that is no picture which can be taken; empty for every other error.
func unusable(err error, file io.ReadSeeker) string {
	switch {
	case errors.Is(err, errLargePicture):
		return fmt.Sprintf("The picture has more than %d million pixels. Make it smaller first.", maxPixels/1_000_000)
	case !errors.Is(err, errNotPicture) && !errors.Is(err, errBadPicture):
		return ""
	}
	head := make([]byte, 512)
	if _, err := file.Seek(0, io.SeekStart); err == nil {
		n, _ := io.ReadFull(file, head)
		head = head[:n]
	}
	begins := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return bytes.HasPrefix(head, []byte(text)) })
	}
	switch {
	case len(head) == 0:
		return "The file is empty."
	case begins("RIFF") && len(head) > 20 && string(head[12:16]) == "VP8X" && head[20]&2 != 0:
		return "An animated WebP is not taken. Save one of its frames as PNG."
	case errors.Is(err, errBadPicture):
		return "The picture cannot be read: it is cut short or damaged."
	case len(head) > 12 && string(head[4:8]) == "ftyp":
		return "HEIC and AVIF are not taken. Export the picture as JPEG or PNG; phones can take JPEG (\"Most compatible\")."
	case begins("II*\x00", "MM\x00*"):
		return "TIFF is not taken. Save the picture as PNG."
	case bytes.Contains(head, []byte("<svg")):
		return "SVG drawings are not taken. Export it as PNG."
	}
	return "This is no picture that is taken here: PNG, JPEG, WebP and GIF are."
}

// UploadFile opens an upload, or its thumbnail. Errors: ErrNoUpload, ErrNoStorage, ErrUnavailable.
func (s *Studio) UploadFile(ctx context.Context, sha256 string, thumbnail bool) (*File, error) {
	if !blob.IsName(sha256) {
		return nil, ErrNoUpload
	}
	row, err := db.One(s.queries.UploadOne(ctx, sha256))
	if errors.Is(err, db.ErrNotFound) {
		return nil, ErrNoUpload
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("read upload: %w", err))
	}
	file := &File{SHA256: row.SHA256, MIME: row.MIME, Size: row.Size, Time: row.CreatedAt}
	if thumbnail {
		file.SHA256, file.MIME = row.Thumbnail, thumbnailMIME
	}
	file.Name = "easel-" + file.SHA256[:12] + extensions[file.MIME]
	if file.Body, err = s.blobs.Open(ctx, file.SHA256); errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("%w: its file is gone", ErrNoUpload)
	} else if err != nil {
		return nil, storageError(fmt.Errorf("open upload: %w", err))
	}
	return file, nil
}

// UploadSize is how large the picture of an upload is. Errors: ErrNoUpload, ErrUnavailable.
func (s *Studio) UploadSize(ctx context.Context, sha256 string) (width, height int, err error) {
	row, err := db.One(s.queries.UploadOne(ctx, sha256))
	if errors.Is(err, db.ErrNotFound) {
		return 0, 0, ErrNoUpload
	}
	if err != nil {
		return 0, 0, unavailable(fmt.Errorf("read upload: %w", err))
	}
	return int(row.Width), int(row.Height), nil
}

// beginWith looks for the uploads that values name, keeps them for another day, and makes them the generation's: a
// generation without a size of its own has that of the first. Complaints are about those that are gone.
func (s *Studio) beginWith(ctx context.Context, g *Generation, form workflow.Form, values workflow.Values) ([]FieldError, error) {
	g.inputs = []string{}
	var fields []workflow.FormField
	for _, field := range form.Fields {
		if sum, ok := values.Text(field.Name); ok && field.Kind == workflow.Image {
			fields = append(fields, field)
			g.inputs = append(g.inputs, sum)
		}
	}
	if len(fields) == 0 {
		return nil, nil
	}
	slices.Sort(g.inputs)
	g.inputs = slices.Compact(g.inputs)
	rows, err := s.queries.UploadsWanted(ctx, db.UploadsWantedParams{UserID: g.UserID, SHA256s: g.inputs})
	if err != nil {
		return nil, unavailable(fmt.Errorf("read uploads: %w", err))
	}
	var complaints []FieldError
	for _, field := range fields {
		sum, _ := values.Text(field.Name)
		at := slices.IndexFunc(rows, func(row db.UploadsWantedRow) bool { return row.SHA256 == sum })
		if at < 0 {
			complaints = append(complaints, FieldError{Field: "settings." + field.Name, Message: field.Label + ": this picture is not there any more. Choose it again."})
			continue
		}
		for i := range g.Images {
			if image := &g.Images[i]; image.Width == 0 || image.Height == 0 {
				image.Width, image.Height = int(rows[at].Width), int(rows[at].Height)
			}
		}
	}
	return complaints, nil
}

// pruneUploads forgets the uploads that nobody wants, with their files.
func (s *Studio) pruneUploads(ctx context.Context) error {
	rows, err := s.queries.UploadsPrune(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		for _, name := range []string{row.SHA256, row.Thumbnail} {
			if _, err := s.removeUnused(ctx, name); err != nil && !errors.Is(err, errBackup) { // else the daily look finds it
				return err
			}
		}
	}
	return nil
}
