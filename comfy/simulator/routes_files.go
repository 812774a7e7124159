package simulator

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"easel/comfy/simulator/paint"
)

// getView sends a stored file, whole or in ranges, or re-encoded when preview or channel asks for it. WebP is asked
// for by ComfyUI's own page; there is no encoder for it here, so that preview is a JPEG and says so.
func getView(p *process, w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if !query.Has("filename") {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	name := query.Get("filename")
	if name == "" || strings.HasPrefix(name, "/") || strings.Contains(name, "..") {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	at := annotated(name, folderOutput)
	if query.Has("type") && at.folder == folderOutput {
		at.folder = query.Get("type")
	}
	if at.folder != folderInput && at.folder != folderOutput && at.folder != folderTemp {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	full, ok := inside(query.Get("subfolder"), path.Base(at.path))
	if !ok {
		w.WriteHeader(http.StatusForbidden)
		return nil
	}
	stored, ok := p.sim.files.open(place{at.folder, full})
	if !ok || p.sim.faults.takeViewMissing() {
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	w.Header().Set("Content-Disposition", fmt.Sprintf("filename=%q", path.Base(full)))
	if preview := query.Get("preview"); preview != "" || query.Has("channel") {
		return reencode(w, stored, preview, query.Get("channel"))
	}
	kind := mime.TypeByExtension(path.Ext(full))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Etag", stored.etag)
	if p.sim.faults.takeViewTruncated() {
		w.Header().Set("Content-Length", strconv.Itoa(len(stored.data)))
		_, _ = w.Write(stored.data[:len(stored.data)/2]) // the rest never comes
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", stored.changed, bytes.NewReader(stored.data))
	return nil
}

// reencode answers preview=jpeg;90 and channel=rgb|a. The error is a 500: the file is no picture.
func reencode(w http.ResponseWriter, stored *file, preview, channel string) error {
	picture, _, err := image.Decode(bytes.NewReader(stored.data))
	if err != nil {
		return fmt.Errorf("re-encode: %w", err)
	}
	var out bytes.Buffer
	if preview != "" {
		_, quality, _ := strings.Cut(preview, ";")
		q, err := strconv.Atoi(quality)
		if err != nil {
			q = 90
		}
		flat := image.NewRGBA(picture.Bounds())
		draw.Draw(flat, flat.Bounds(), picture, picture.Bounds().Min, draw.Src)
		if err := jpeg.Encode(&out, flat, &jpeg.Options{Quality: q}); err != nil {
			return err
		}
		w.Header().Set("Content-Type", "image/jpeg")
	} else {
		if err := png.Encode(&out, onlyChannel(picture, channel)); err != nil {
			return err
		}
		w.Header().Set("Content-Type", "image/png")
	}
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes()) // a client that left is no trouble of the server
	return nil
}

// onlyChannel returns the colours without transparency, or with "a" the transparency alone.
func onlyChannel(picture image.Image, channel string) image.Image {
	out := image.NewNRGBA(picture.Bounds())
	for y := out.Rect.Min.Y; y < out.Rect.Max.Y; y++ {
		for x := out.Rect.Min.X; x < out.Rect.Max.X; x++ {
			c := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)
			if channel == "a" {
				c = color.NRGBA{A: c.A}
			} else {
				c.A = 255
			}
			out.SetNRGBA(x, y, c)
		}
	}
	return out
}

// postUpload stores a multipart "image" part. A name that is taken by other content gets a number.
func postUpload(p *process, w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseMultipartForm(maxBody); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	part, header, err := r.FormFile("image")
	if err != nil {
		if _, named := r.MultipartForm.Value["image"]; named { // a part with an empty file name
			return errTrouble
		}
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	defer part.Close()
	data, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	folderType := r.FormValue("type")
	if folderType == "" {
		folderType = folderInput
	}
	if folderType != folderInput && folderType != folderOutput && folderType != folderTemp {
		return errTrouble
	}
	// The header's own file name: FormFile gives only what follows the last slash.
	_, params, err := mime.ParseMediaType(header.Header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return errTrouble
	}
	subfolder := path.Clean("/" + r.FormValue("subfolder"))[1:]
	if _, ok := inside(r.FormValue("subfolder"), ""); !ok {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	full, ok := inside(r.FormValue("subfolder"), params["filename"])
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	if strings.Contains(params["filename"], "/") {
		return errTrouble // ComfyUI fails to write into a folder that is not there
	}
	overwrite := r.FormValue("overwrite") == "true" || r.FormValue("overwrite") == "1"
	name := p.sim.files.upload(place{folderType, full}, data, overwrite)
	return answer(w, http.StatusOK, pairs("name", name, "subfolder", subfolder, "type", folderType))
}

// upload stores data under at or, if other content is there, under the next free "name (n).ext". It returns the
// file's name without its folder.
func (f *files) upload(at place, data []byte, overwrite bool) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ext := path.Ext(at.path)
	stem := strings.TrimSuffix(at.path, ext)
	for n := 1; !overwrite; n++ {
		there, taken := f.folders[at.folder].files[at.path]
		if !taken {
			break
		}
		if bytes.Equal(there.data, data) {
			return path.Base(at.path)
		}
		at.path = fmt.Sprintf("%s (%d)%s", stem, n, ext)
	}
	f.put(at, data)
	return path.Base(at.path)
}

// loadPicture decodes an input file for LoadImage.
func (f *files) loadPicture(name string) (*image.RGBA, *nodeError) {
	stored, ok := f.open(annotated(name, folderInput))
	if !ok {
		return nil, &nodeError{"FileNotFoundError", fmt.Sprintf("[Errno 2] No such file or directory: '%s'", name)}
	}
	picture, _, err := image.Decode(bytes.NewReader(stored.data))
	if err != nil {
		return nil, &nodeError{"PIL.UnidentifiedImageError", fmt.Sprintf("cannot identify image file '%s'", name)}
	}
	return paint.RGBA(picture), nil
}
