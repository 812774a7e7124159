package paint

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// Emerging shows a picture on its way out of the noise, as the previews of a sampler do. It is for one goroutine.
type Emerging struct {
	picture       *image.RGBA
	noise         []int16 // for each byte of picture, around 0
	width, height int
}

// NewEmerging prepares previews of width by height pixels of a picture that may be smaller.
func NewEmerging(picture *image.RGBA, width, height int, seed uint64) *Emerging {
	random := rand.New(rand.NewPCG(seed, 0x5eed))
	e := &Emerging{picture: picture, noise: make([]int16, len(picture.Pix)), width: width, height: height}
	for i := range e.noise {
		e.noise[i] = int16(random.IntN(384) - 192)
	}
	return e
}

// JPEG returns the preview after that fraction of the steps, 0 to 1.
func (e *Emerging) JPEG(fraction float64) Encoded {
	var out bytes.Buffer
	frame := Scaled(e.at(fraction), e.width, e.height)
	if err := jpeg.Encode(&out, frame, &jpeg.Options{Quality: 82}); err != nil {
		return Encoded{} // only a picture without pixels cannot be written
	}
	return Encoded{MIME: "image/jpeg", Bytes: out.Bytes()}
}

// at returns the small picture after that fraction.
func (e *Emerging) at(fraction float64) *image.RGBA {
	out := image.NewRGBA(e.picture.Rect)
	keep := smooth(0, 1, math.Pow(fraction, 0.65)) // most of a picture is settled in the first half of the steps
	for i, p := range e.picture.Pix {
		if i%4 == 3 {
			out.Pix[i] = 255
			continue
		}
		v := float64(p)*keep + (1-keep)*(128+float64(e.noise[i])*0.6)
		out.Pix[i] = byte(min(255, max(0, v)))
	}
	return out
}
