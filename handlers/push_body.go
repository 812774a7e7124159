package handlers

import (
	"bytes"
	"strconv"

	"easel/studio"
	"easel/views"
)

// pushJSON is what static/sw.js shows.
type pushJSON struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Tag   string `json:"tag,omitempty"`  // the generation's id: one notification each
	URL   string `json:"url"`            // path of what a press opens
	Icon  string `json:"icon,omitempty"` // path of a thumbnail
}

// PushBody makes what a browser is told of a generation that has ended; of nil, for a test.
func PushBody(basePath string) func(*studio.Generation) ([]byte, error) {
	paths := views.Paths{Base: basePath}
	return func(g *studio.Generation) ([]byte, error) {
		told := pushJSON{Title: "Easel reaches this browser", Body: "It will say so when a generation is done.", URL: paths.Settings()}
		if g != nil {
			told = pushOf(paths, g)
		}
		var b bytes.Buffer
		err := encodeJSON(&b, told)
		return b.Bytes(), err
	}
}

// pushWords bounds the text of a message, which has a kilobyte in all, whatever the script it is written in.
const pushWords = 100

func pushOf(paths views.Paths, g *studio.Generation) pushJSON {
	told := pushJSON{Body: views.Short(g.Prompt, pushWords), Tag: g.ID.String(), URL: paths.Generation(g.ID.String())}
	switch g.Status {
	case studio.Complete:
		told.Title = "Picture complete"
		if n := len(g.Images); n > 1 {
			told.Title = strconv.Itoa(n) + " pictures complete"
		}
	case studio.Cancelled:
		told.Title = "Generation cancelled"
	default:
		told.Title = "Generation failed"
		if g.ErrorMessage != "" {
			told.Body = views.Short(g.ErrorMessage, pushWords)
		}
	}
	shown := newGenerationJSON(paths, g, studio.RecordProgress(g))
	for _, image := range shown.Images {
		if image.ThumbnailURL != nil {
			told.Icon = *image.ThumbnailURL
			break
		}
	}
	return told
}
