package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/studio"
)

var fakeIDs atomic.Int64

// workbench is the server of the fake.
var workbench = uuid.MustParse("00000000-0000-7000-8000-00000000000a")

// newState is a generation of a size and number of images, made a minute after the one before.
func newState(f *fakeStudio, prompt string, status studio.Status, images int, size ...int) *studio.State {
	n := fakeIDs.Add(1)
	created := f.now.Add(time.Duration(n-10_000) * time.Minute)
	id := uuid.MustParse(fmt.Sprintf("%012x", created.UnixMilli())[:8] + "-" + fmt.Sprintf("%012x", created.UnixMilli())[8:] + fmt.Sprintf("-7000-8000-%012x", n))
	width, height := 1024, 1024
	if len(size) == 2 {
		width, height = size[0], size[1]
	}
	state := &studio.State{Generation: studio.Generation{
		ID: id, UserID: studio.LocalUser, Prompt: prompt, Workflow: workflow.TextToImage, Status: status,
		Settings: workflow.Values{
			"model": "sd_xl_base_1.0.safetensors", "width": int64(width), "height": int64(height), "steps": int64(20),
			"guidance": 7.0, "sampler": "euler", "scheduler": "normal", "seed": math.MaxUint64 - uint64(n),
		},
		CreatedAt: created, UpdatedAt: created,
	}}
	for i := range images {
		picture := studio.Image{
			Index: i + 1, Status: status, Seed: math.MaxUint64 - uint64(n) + uint64(i), Width: width, Height: height,
			PromptID: fmt.Sprintf("%s-%d", id, i+1), Server: "workbench", ServerID: workbench, Attempts: 1,
		}
		state.Generation.Images = append(state.Generation.Images, picture)
		state.Images = append(state.Images, studio.ImageProgress{Index: i + 1, Progress: progressOf(status, 1)})
	}
	state.Progress = progressOf(status, images)
	if status.Ended() {
		end := created.Add(42 * time.Second)
		state.Generation.FinishedAt = &end
	}
	if status == studio.Complete {
		for i := range images {
			finish(state, i)
		}
	}
	return state
}

// finish gives an image its picture.
func finish(state *studio.State, i int) {
	image := &state.Generation.Images[i]
	sum := sha256.Sum256(fmt.Appendf(nil, "%d", image.Seed))
	image.Status = studio.Complete
	image.Outputs = []studio.Output{{
		Node: "save", Kind: "image", SHA256: hex.EncodeToString(sum[:]), Thumbnail: hex.EncodeToString(sum[:]), MIME: "image/png",
		Size: 1_482_113, Width: image.Width, Height: image.Height, Color: fakeColor(image.Seed),
	}}
	state.Images[i].Progress = progressOf(studio.Complete, 1)
}

func progressOf(status studio.Status, images int) studio.Progress {
	p := studio.RecordProgress(&studio.Generation{Status: status})
	p.TotalImages = images
	if status == studio.Pending {
		p.QueuePosition, p.Status = 2, "Position 2 in the queue"
	}
	return p
}

// sampling is a generation at a step of 20, with a preview.
func sampling(state *studio.State, step int) {
	p := studio.Progress{
		Phase: comfy.PhaseInference, Status: fmt.Sprintf("Step %d of 20", step), CurrentStep: step, TotalSteps: 20,
		Percentage: step * 5, Overall: step * 4, ETA: time.Duration(20-step) * time.Second, ETAKnown: true, ImageIndex: 1,
		TotalImages: len(state.Images), Pass: 1, Passes: 1, Node: "sampler", StepTime: 300 * time.Millisecond,
		PreviewRev: uint64(step), PreviewImage: 1,
	}
	state.Generation.Status = studio.Generating
	state.Generation.Images[0].Status = studio.Generating
	state.Progress, state.Images[0].Progress = p, p
}

func hue(seed uint64) float64 { return float64(seed%360) / 360 }

func fakeColor(seed uint64) string {
	c := shade(hue(seed*47), 0.45)
	return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B)
}

// shade is a muted colour: h around the circle and v dark to light, both 0 to 1.
func shade(h, v float64) color.RGBA {
	channel := func(shift float64) uint8 {
		return uint8(255 * v * (0.62 + 0.38*math.Cos(2*math.Pi*(h+shift))))
	}
	return color.RGBA{channel(0), channel(0.33), channel(0.67), 255}
}

// fakePicture draws hills under a sky; the clearer (0 to 1), the less noise lies over them.
func fakePicture(w, h int, seed uint64, clarity float64) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := uint32(seed) | 1
	for y := range h {
		v := float64(y) / float64(h)
		for x := range w {
			u := float64(x) / float64(w)
			level := 0.55 + 0.4*v
			c := shade(hue(seed*47), level)
			for ridge := range 3 {
				edge := 0.5 + 0.15*float64(ridge) + 0.07*math.Sin(u*(5+float64(ridge)*3)+float64(seed%17)+float64(ridge))
				if v > edge {
					c = shade(hue(seed*47)+0.08*float64(ridge+1), 0.62-0.17*float64(ridge))
				}
			}
			if clarity < 1 {
				noise = noise*1664525 + 1013904223
				n := float64(noise>>24) * (1 - clarity)
				c.R, c.G, c.B = mix(c.R, n, clarity), mix(c.G, n, clarity), mix(c.B, n, clarity)
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a picture in memory
	}
	return b.Bytes()
}

func mix(c uint8, noise, clarity float64) uint8 {
	return uint8(min(255, float64(c)*(0.4+0.6*clarity)+noise*0.6))
}

// populate fills the studio with one generation of every kind.
func (f *fakeStudio) populate() {
	prompts := []string{
		"A small harbour at first light, fishing boats, thin mist over still water, watercolour",
		"Portrait of an old cellist in a red chair, window light, oil on canvas",
		"Isometric workshop of a clockmaker, cutaway, soft shadows",
		"قطة نائمة على سطح منزل قديم تحت ضوء القمر",
		"🏔️ Alpine hut 🌨️ in a snowstorm 🕯️ warm windows",
		"Bauhaus poster for an observatory",
		"Still life with pears, low key, chiaroscuro",
		"Panorama of terraced rice fields after rain",
	}
	sizes := [][]int{{1024, 1024}, {832, 1216}, {1216, 832}, {1024, 1024}, {768, 1344}, {832, 1216}, {1024, 1024}, {1536, 640}}
	for i := range 30 {
		count := 1
		if i%7 == 3 {
			count = 4
		}
		state := f.put(newState(f, prompts[i%len(prompts)], studio.Complete, count, sizes[i%len(sizes)]...))
		f.attempts[state.Generation.ID] = fakeAttempts(state)
	}
	failed := newState(f, "A lighthouse in a storm", studio.Failed, 1, 1216, 832)
	failed.Generation.ErrorMessage = "The server has no model named dreamshaper_8.safetensors. Choose another one and try again."
	failed.Progress.Status = "Failed while checking the prompt"
	f.put(failed)
	f.attempts[failed.Generation.ID] = fakeAttempts(failed)
	f.put(newState(f, strings.Repeat("an endless corridor of doors, each of another colour, ", 40), studio.Complete, 1, 640, 1536))
	f.put(newState(f, "Cancelled before it began", studio.Cancelled, 1))
}

func fakeAttempts(state *studio.State) []studio.Attempt {
	var all []studio.Attempt
	for _, image := range state.Generation.Images {
		at := func(seconds float64) *time.Time {
			t := state.Generation.CreatedAt.Add(time.Duration(seconds * float64(time.Second)))
			return &t
		}
		a := studio.Attempt{
			PromptID: image.PromptID, ImageIndex: image.Index, Number: 1, Server: "workbench", State: "complete",
			Graph:     []byte(`{"sampler":{"class_type":"KSampler","inputs":{"seed":18446744073709551615,"steps":20}}}`),
			CreatedAt: *at(1.2), SubmittedAt: at(1.3), RunningAt: at(1.4), SamplingAt: at(6.1), FinalizingAt: at(40.2), FinishedAt: at(42),
		}
		if state.Generation.Status == studio.Failed {
			a.State, a.ErrorMessage = "failed", state.Generation.ErrorMessage
			a.ErrorDetail = "node checkpoint (CheckpointLoaderSimple): Value not in list: ckpt_name: 'dreamshaper_8.safetensors'"
			a.RunningAt, a.SamplingAt, a.FinalizingAt = nil, nil, nil
		}
		all = append(all, a)
	}
	return all
}
