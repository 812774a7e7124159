package simulator

import (
	"fmt"
	"mime"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The folder types of /view and /upload.
const (
	folderInput  = "input"
	folderOutput = "output"
	folderTemp   = "temp"
)

// place names one stored file: its folder type and its slash-separated path inside.
type place struct{ folder, path string }

// file is one stored file; its data is never changed.
type file struct {
	data    []byte
	changed time.Time
	etag    string
}

// files is the server's disk, kept in memory: the oldest files of a folder go when it holds too many or too large ones.
type files struct {
	maxFiles int
	maxBytes int64
	now      func() time.Time

	mu      sync.Mutex
	folders map[string]*folder
}

type folder struct {
	order []string // by age, oldest first
	files map[string]*file
	bytes int64
}

func newFiles(maxFiles int, maxBytes int64, now func() time.Time) *files {
	f := &files{maxFiles: maxFiles, maxBytes: maxBytes, now: now, folders: map[string]*folder{}}
	for _, name := range []string{folderInput, folderOutput, folderTemp} {
		f.folders[name] = &folder{files: map[string]*file{}}
	}
	return f
}

// open returns a stored file.
func (f *files) open(at place) (*file, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, ok := f.folders[at.folder]
	if !ok {
		return nil, false
	}
	got, ok := dir.files[at.path]
	return got, ok
}

// store writes a file, in place of one that may be there.
func (f *files) store(at place, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(at, data)
}

func (f *files) put(at place, data []byte) {
	dir := f.folders[at.folder]
	dir.remove(at.path)
	now := f.now()
	dir.files[at.path] = &file{
		data: data, changed: now,
		etag: fmt.Sprintf(`"%x-%x"`, now.UnixNano(), len(data)), // aiohttp's form: time and size
	}
	dir.order = append(dir.order, at.path)
	dir.bytes += int64(len(data))
	for len(dir.order) > 1 && (len(dir.order) > f.maxFiles || dir.bytes > f.maxBytes) {
		dir.remove(dir.order[0])
	}
}

// empty removes all files of a folder.
func (f *files) empty(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folders[name] = &folder{files: map[string]*file{}}
}

func (d *folder) remove(name string) {
	old, ok := d.files[name]
	if !ok {
		return
	}
	d.bytes -= int64(len(old.data))
	delete(d.files, name)
	d.order = slices.DeleteFunc(d.order, func(n string) bool { return n == name })
}

// save writes a file under the next number of its prefix, as ComfyUI's get_save_image_path counts: on from the
// highest number that is there. It returns the file's name and subfolder.
func (f *files) save(folderType, prefix, extension string, data []byte) (name, subfolder string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	subfolder, base := path.Split(prefix)
	subfolder = strings.TrimSuffix(subfolder, "/")
	counter := 0
	for stored := range f.folders[folderType].files {
		dir, file := path.Split(stored)
		rest, ok := strings.CutPrefix(file, base+"_")
		if strings.TrimSuffix(dir, "/") != subfolder || !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, "_")
		if n, err := strconv.Atoi(digits); err == nil {
			counter = max(counter, n)
		}
	}
	name = fmt.Sprintf("%s_%05d_%s", base, counter+1, extension)
	f.put(place{folderType, path.Join(subfolder, name)}, data)
	return name, subfolder
}

// pictures lists the pictures, by their names, that lie directly in a folder, sorted.
func (f *files) pictures(folderType string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for name := range f.folders[folderType].files {
		if !strings.Contains(name, "/") && strings.HasPrefix(mime.TypeByExtension(path.Ext(name)), "image/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// clear empties a folder.
func (f *files) clear(folderType string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folders[folderType] = &folder{files: map[string]*file{}}
}

// inside resolves subfolder and name below a folder; ok is false when they lead out of it.
func inside(subfolder, name string) (p string, ok bool) {
	if strings.HasPrefix(subfolder, "/") || strings.ContainsRune(subfolder, 0) {
		return "", false
	}
	p = path.Join(subfolder, name)
	if p == ".." || strings.HasPrefix(p, "../") || strings.HasPrefix(p, "/") {
		return "", false
	}
	return p, true
}

// annotated reads names of the form "pic.png [temp]", which name the folder type; others lie in the default one.
func annotated(name, defaultFolder string) place {
	for _, folderType := range []string{folderInput, folderOutput, folderTemp} {
		if bare, ok := strings.CutSuffix(name, "["+folderType+"]"); ok {
			return place{folderType, path.Clean(strings.TrimSuffix(bare, " "))}
		}
	}
	return place{defaultFolder, path.Clean(name)}
}
