package handlers

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"

	"easel/comfy/workflow"
	"easel/studio"
)

const (
	// maxUploadBody is room for the largest picture, and what a form puts around it.
	maxUploadBody = studio.MaxUploadBytes + maxBodyBytes
	// mostParts is how many controls a form with files may have.
	mostParts = 1000
)

// uploadRoutes take pictures that generations begin with, and show them.
func (s *Server) uploadRoutes() {
	s.routeLarge("POST /api/uploads", maxUploadBody, s.apiUpload)
	s.route("GET /uploads/{sha256}", s.showUpload(false))
	s.route("GET /uploads/{sha256}/thumbnail", s.showUpload(true))
	s.route("POST /generations/{id}/images/{image}/{output}/use", s.useOutput)
}

type uploadJSON struct {
	SHA256       string `json:"sha256"`
	URL          string `json:"url"`
	ThumbnailURL string `json:"thumbnailUrl"`
	MIME         string `json:"mime"`
	Size         int64  `json:"size"`
	Width        int    `json:"width"`
	Height       int    `json:"height"`
	CreatedAt    string `json:"createdAt"`
}

// apiUpload takes a picture: as the body, or as the file of a form.
func (s *Server) apiUpload(w http.ResponseWriter, r *http.Request) error {
	upload, err := s.takeUpload(r)
	if err != nil {
		return err
	}
	w.Header().Set("Location", s.paths.Upload(upload.SHA256))
	return answerJSON(w, http.StatusCreated, uploadJSON{
		SHA256: upload.SHA256, URL: s.paths.Upload(upload.SHA256), ThumbnailURL: s.paths.UploadThumbnail(upload.SHA256),
		MIME: upload.MIME, Size: upload.Size, Width: upload.Width, Height: upload.Height, CreatedAt: timeText(upload.CreatedAt),
	})
}

func (s *Server) takeUpload(r *http.Request) (upload studio.Upload, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data":
		files := 0
		_, err := readParts(r, func(_ string, content io.Reader) (_ string, err error) {
			if files++; files > 1 {
				return "", badRequest("file", "may come only once")
			}
			upload, err = s.upload(r.Context(), content)
			return upload.SHA256, err
		})
		if err == nil && files == 0 {
			err = badRequest("file", "is missing")
		}
		return upload, err
	case err != nil || kind == "application/json" || kind == "application/x-www-form-urlencoded":
		return upload, &UserError{Status: http.StatusUnsupportedMediaType, Message: "Send the picture as the body, with its own Content-Type, or as the file of a multipart form."}
	}
	return s.upload(r.Context(), r.Body) // what it is, its bytes tell
}

// upload keeps a picture that comes with a request.
func (s *Server) upload(ctx context.Context, content io.Reader) (studio.Upload, error) {
	from := &bodyPart{r: content}
	upload, err := s.studio.Upload(ctx, studio.LocalUser, from)
	if err != nil && from.err != nil {
		return upload, formError(from.err)
	}
	return upload, err
}

// bodyPart remembers what was wrong with a body, apart from what was wrong with what is made of it.
type bodyPart struct {
	r   io.Reader
	err error
}

func (b *bodyPart) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// formError says what is wrong with a body that cannot be read.
func formError(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return errTooLarge
	}
	return &UserError{Status: http.StatusBadRequest, Message: "The form could not be read."}
}

// readParts reads a multipart form, part by part: what is no file is kept to maxBodyBytes in all. Each file goes to
// take, whose text stands for it in the form; a control for which none was chosen says nothing.
func readParts(r *http.Request, take func(name string, content io.Reader) (string, error)) (url.Values, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, formError(err)
	}
	values, left := url.Values{}, int64(maxBodyBytes)
	for range mostParts {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // a wrapped one is that of a body which broke off
			return values, nil
		}
		if err != nil {
			return nil, formError(err)
		}
		text, given, err := readPart(part, &left, take)
		if err != nil {
			return nil, err
		}
		if given {
			values.Add(part.FormName(), text)
		}
	}
	return nil, &UserError{Status: http.StatusBadRequest, Message: "The form has too many parts."}
}

func readPart(part *multipart.Part, left *int64, take func(name string, content io.Reader) (string, error)) (text string, given bool, err error) {
	defer func() { _ = part.Close() }()
	_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return "", false, formError(err)
	}
	if filename, isFile := disposition["filename"]; isFile {
		if filename == "" {
			return "", false, nil
		}
		text, err = take(part.FormName(), part)
		return text, true, err
	}
	content, err := io.ReadAll(io.LimitReader(part, *left+1))
	if err != nil {
		return "", false, formError(err)
	}
	if *left -= int64(len(content)); *left < 0 {
		return "", false, errTooLarge
	}
	return string(content), true, nil
}

// showUpload serves an upload or its thumbnail.
func (s *Server) showUpload(thumbnail bool) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		file, err := s.studio.UploadFile(r.Context(), r.PathValue("sha256"), thumbnail)
		if err != nil {
			return err
		}
		defer func() { _ = file.Body.Close() }() // read only
		s.serveFile(w, r, file, "same-origin")
		return nil
	}
}

// useOutput makes an input of an output, and leads to the form that begins with it.
func (s *Server) useOutput(w http.ResponseWriter, r *http.Request) error {
	id, image, err := imagePath(r)
	if err != nil {
		return err
	}
	output, ok := index(r.PathValue("output"))
	if !ok {
		return errNoPage
	}
	upload, err := s.studio.UploadOutput(r.Context(), studio.LocalUser, id, image, output)
	if err != nil {
		return err
	}
	http.Redirect(w, r, s.paths.BeginWith(workflow.ImageToImage, upload.SHA256), http.StatusSeeOther)
	return nil
}

// beginWith fills the form's first picture with an upload, and its size with one of that shape.
func (s *Server) beginWith(ctx context.Context, form workflow.Form, sum string, typed map[string]string) error {
	for _, field := range form.Fields {
		if field.Kind != workflow.Image {
			continue
		}
		w, h, err := s.studio.UploadSize(ctx, sum)
		if err != nil {
			return err
		}
		typed[settingPrefix+field.Name] = sum
		width, hasWidth := form.Field("width")
		height, hasHeight := form.Field("height")
		if hasWidth && hasHeight {
			likeW, likeH := fitted(width, height, float64(w)/float64(h))
			typed[settingPrefix+"width"], typed[settingPrefix+"height"] = number(likeW), number(likeH)
		}
		return nil
	}
	return nil
}

// formWithFiles reads a posted form whose files are pictures: each is kept, and the form holds its hash.
func (s *Server) formWithFiles(w http.ResponseWriter, r *http.Request) (values url.Values, refused []studio.FieldError, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		if r.ContentLength > maxBodyBytes {
			return nil, nil, errTooLarge
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		values, err = readForm(r)
		return values, nil, err
	}
	leave, err := s.enterLarge(w, r)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	chosen := map[string]string{} // by control
	values, err = readParts(r, func(name string, content io.Reader) (string, error) {
		upload, err := s.upload(r.Context(), content)
		if invalid, ok := errors.AsType[*studio.InvalidError](err); ok {
			for _, f := range invalid.Fields {
				refused = append(refused, studio.FieldError{Field: name, Message: f.Message})
			}
			return "", nil // the rest of the form is read, and comes back
		}
		chosen[name] = upload.SHA256
		return upload.SHA256, err
	})
	for name, sum := range chosen { // before what was chosen earlier
		values.Set(name, sum)
	}
	return values, refused, err
}
