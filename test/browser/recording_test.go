//go:build recording

package browser

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"easel/comfy/simulator"
)

var recordInto = flag.String("into", "", "file for the animated picture")

const (
	recordWidth  = 1280
	recordHeight = 800
	recordMost   = 3 << 20 // bytes: a README must load
	recordEvery  = 300 * time.Millisecond
	recordPause  = 3 * time.Second // before it begins anew
)

// TestRecording films one generation, from the prompt being typed to the gallery: `make recording`.
func TestRecording(t *testing.T) {
	s := open(t, siteOptions{pace: simulator.DemoPace()})
	for _, earlier := range []string{"A lighthouse in a storm, oil on canvas", "A fox in fresh snow", "An old library, dust in the light", "Terraced fields at dusk"} {
		s.made(ask{Prompt: earlier, Settings: map[string]any{"width": 768, "height": 512, "steps": 4}})
	}
	tab := Open(t, s.URL, TabOptions{Width: recordWidth, Height: recordHeight})
	tab.Goto("/")
	tab.Wait(`[...document.images].every(i => i.complete)`)
	tab.Press("3:2")
	film := begin(t, tab)
	Eval[bool](tab, `(document.querySelector('#prompt').focus(), true)`)
	for part := range slices.Chunk([]rune("A small harbour at first light, fishing boats, thin mist over still water"), 9) {
		tab.Keys(string(part))
		time.Sleep(recordEvery)
	}
	at := Eval[[]float64](tab, `(box => [box.x + box.width / 2, box.y + box.height / 2])(document.querySelector('#composer .go button').getBoundingClientRect())`)
	tab.do("press Generate", chromedp.MouseClickXY(at[0], at[1])) // without scrolling to it
	tab.Wait(`document.querySelector('.progress[data-phase=complete]') && document.querySelector('.caption .prompt').textContent.startsWith('A small harbour')`)
	time.Sleep(2 * time.Second) // to look at it
	tab.Press("Gallery")
	tab.Wait(`document.querySelectorAll('#cards img').length >= 5`)
	time.Sleep(time.Second)
	film.end()
	body := film.encode()
	t.Logf("%d frames, %d bytes", len(film.frames), len(body))
	if len(body) > recordMost {
		t.Errorf("%d bytes, want at most %d", len(body), recordMost)
	}
	if err := os.WriteFile(*recordInto, body, 0o644); err != nil { //nolint:gosec // a picture for everybody
		t.Fatal(err)
	}
}

// film is what a tab showed. Chromium sends a picture when something has changed, and the next once
// this one was acknowledged; a screenshot would wait for a page that stands still.
type film struct {
	t      *testing.T
	tab    *Tab
	shots  chan *page.EventScreencastFrame
	filmed chan struct{} // closed when no more is taken
	frames []frame
}

type frame struct {
	picture *image.RGBA
	at      time.Time
}

func begin(t *testing.T, tab *Tab) *film {
	f := &film{t: t, tab: tab, shots: make(chan *page.EventScreencastFrame, 16), filmed: make(chan struct{})}
	if err := chromedp.Listen(tab.ctx, func(event any) {
		if shot, ok := event.(*page.EventScreencastFrame); ok {
			f.shots <- shot
		}
	}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.filmed)
		for shot := range f.shots {
			if shot == nil {
				return
			}
			f.take(shot)
		}
	}()
	tab.do("begin to film", call(page.StartScreencast, page.StartScreencastParams{Format: "png"}))
	return f
}

// take keeps a picture, if it is time for one.
func (f *film) take(shot *page.EventScreencastFrame) {
	at := time.Now()
	decoded, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		f.t.Error(err)
		return
	}
	picture := image.NewRGBA(image.Rect(0, 0, recordWidth, recordHeight))
	draw.Draw(picture, picture.Bounds(), decoded, image.Point{}, draw.Src)
	if n := len(f.frames); n > 1 && at.Sub(f.frames[n-2].at) < recordEvery {
		f.frames[n-1].picture = picture // the newer takes the place of one that nobody would have seen
	} else {
		f.frames = append(f.frames, frame{picture: picture, at: at})
	}
	if _, err := chromedp.Run(f.tab.ctx, call(page.ScreencastFrameAck, page.ScreencastFrameAckParams{SessionID: shot.SessionID})); err != nil {
		f.t.Error(err)
	}
}

func (f *film) end() {
	f.t.Helper()
	f.tab.do("end the film", call(page.StopScreencast, cdp.Empty{}))
	f.shots <- nil
	<-f.filmed
}

// encode makes a GIF: one palette for all frames, each of which holds only what has changed.
func (f *film) encode() []byte {
	f.t.Helper()
	p := newPalette(f.frames)
	movie := gif.GIF{Config: image.Config{ColorModel: p.colors, Width: recordWidth, Height: recordHeight}}
	before := make([]uint8, recordWidth*recordHeight)
	for i := range before {
		before[i] = p.clear
	}
	for i, frame := range f.frames {
		pause := recordPause
		if i+1 < len(f.frames) {
			pause = f.frames[i+1].at.Sub(frame.at)
		}
		hundredths := max(int(pause/(10*time.Millisecond)), 2)
		changed := image.Rectangle{}
		now := make([]uint8, len(before))
		for at := range now {
			now[at] = p.of(frame.picture.Pix[4*at:])
			if now[at] != before[at] {
				x, y := at%recordWidth, at/recordWidth
				changed = changed.Union(image.Rect(x, y, x+1, y+1))
			}
		}
		if changed.Empty() {
			movie.Delay[len(movie.Delay)-1] += hundredths
			continue
		}
		part := image.NewPaletted(changed, p.colors)
		for y := changed.Min.Y; y < changed.Max.Y; y++ {
			for x := changed.Min.X; x < changed.Max.X; x++ {
				at := y*recordWidth + x
				index := now[at]
				if index == before[at] {
					index = p.clear
				}
				part.SetColorIndex(x, y, index)
			}
		}
		before = now
		movie.Image = append(movie.Image, part)
		movie.Delay = append(movie.Delay, hundredths)
		movie.Disposal = append(movie.Disposal, gif.DisposalNone)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &movie); err != nil {
		f.t.Fatal(err)
	}
	return b.Bytes()
}

// indexed is a palette of 255 colours, and one that shows what was there before. Colours are told apart by five
// bits of each part.
type indexed struct {
	colors color.Palette
	clear  uint8
	table  [1 << 15]uint8
}

func bin(rgba []uint8) int { return int(rgba[0]>>3)<<10 | int(rgba[1]>>3)<<5 | int(rgba[2]>>3) }

func (p *indexed) of(rgba []uint8) uint8 { return p.table[bin(rgba)] }

// shade is one bin that occurs in the film, with what fell into it.
type shade struct {
	bin   int
	count int
	sum   [3]int
}

func (s shade) part(i int) int { return s.sum[i] / s.count }

// newPalette cuts the colours of all frames at the median of their widest part until there are 255 groups, the
// widest first; the mean of each is its colour.
func newPalette(frames []frame) *indexed {
	bins := make([]shade, 1<<15)
	for _, frame := range frames {
		for at := 0; at < len(frame.picture.Pix); at += 4 {
			rgba := frame.picture.Pix[at : at+3]
			s := &bins[bin(rgba)]
			s.bin = bin(rgba)
			s.count++
			for i := range s.sum {
				s.sum[i] += int(rgba[i])
			}
		}
	}
	groups := [][]shade{slices.DeleteFunc(bins, func(s shade) bool { return s.count == 0 })}
	for len(groups) < 255 {
		widest, part, most := -1, 0, 0.0
		for g, group := range groups {
			if len(group) < 2 {
				continue
			}
			weight := 0
			for _, s := range group {
				weight += s.count
			}
			for i := range 3 {
				by := func(a, b shade) int { return cmp.Compare(a.part(i), b.part(i)) }
				wide := slices.MaxFunc(group, by).part(i) - slices.MinFunc(group, by).part(i)
				if score := float64(wide) * float64(wide) * float64(min(weight, 1<<12)); score > most {
					widest, part, most = g, i, score
				}
			}
		}
		if widest < 0 {
			break
		}
		group := groups[widest]
		slices.SortFunc(group, func(a, b shade) int { return cmp.Compare(a.part(part), b.part(part)) })
		groups[widest], groups = group[:len(group)/2], append(groups, group[len(group)/2:])
	}
	p := &indexed{}
	for index, group := range groups {
		var mean shade
		for _, s := range group {
			mean.count += s.count
			for i := range mean.sum {
				mean.sum[i] += s.sum[i]
			}
			p.table[s.bin] = uint8(index)
		}
		p.colors = append(p.colors, color.RGBA{uint8(mean.part(0)), uint8(mean.part(1)), uint8(mean.part(2)), 255})
	}
	p.clear = uint8(len(p.colors))
	p.colors = append(p.colors, color.RGBA{})
	return p
}
