// Package paint makes pictures out of words: landscapes and skies whose light and motif come from the text and whose
// composition comes from the seed. The same scene always gives the same picture, and about the same in any size.
package paint

import (
	"hash/fnv"
	"image"
	"math"
	"runtime"
	"sync"
)

// Scene is the recipe of a picture.
type Scene struct {
	Text     string  // words such as sunset, forest or night choose light and motif
	Avoid    string  // words that must not choose
	Seed     uint64  // the composition
	Index    int     // of the picture in a batch: another composition
	Model    string  // its name turns the hues a little
	Guidance float64 // 0 to 30: the higher, the more contrast
}

// canvas is what all painters of one picture share. Places are given with x from about -0.5 to 0.5 times the shape of
// the picture, 0 in the middle, and y from 0 at the top to 1 at the bottom.
type canvas struct {
	palette
	mood     mood
	seed     uint64
	wide     float64 // width divided by height
	horizon  float64 // y of the horizon
	sunX     float64
	sunY     float64
	sunSize  float64
	cloudy   float64 // 0 to 1
	contrast float64
	noise    [6]field
	layers   []layer
	water    bool
}

// random returns the nth number from 0 to 1 of this picture's composition.
func (c *canvas) random(n int) float64 { return field(c.seed).cell(n, 7919) }

// between returns the nth number of the composition, from a to b.
func (c *canvas) between(n int, a, b float64) float64 { return mix(a, b, c.random(n)) }

// Paint makes the picture, on all cores. 512 x 512 takes 0.1 to 0.25 s of one.
func Paint(s Scene, width, height int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	c := compose(s, float64(width)/float64(max(1, height)))
	bands := max(1, min(runtime.GOMAXPROCS(0), height/64))
	var painters sync.WaitGroup
	for band := range bands {
		painters.Go(func() {
			for y := height * band / bands; y < height*(band+1)/bands; y++ {
				c.row(out, y)
			}
		})
	}
	painters.Wait()
	return out
}

// compose decides what is where.
func compose(s Scene, wide float64) *canvas {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(s.Text)) // a hash takes everything
	c := &canvas{mood: read(s.Text, s.Avoid), wide: wide}
	c.seed = hash.Sum64()*3 ^ (s.Seed+uint64(s.Index)*0x9e3779b97f4a7c15)*0xd6e8feb86659fd93
	for i := range c.noise {
		c.noise[i] = field(c.seed + uint64(i+1)*0xa0761d6478bd642f)
	}
	model := fnv.New32a()
	_, _ = model.Write([]byte(s.Model)) // as above
	turn := (float64(model.Sum32()%1000)/1000-0.5)*0.03 + c.between(1, -0.022, 0.022)
	c.palette = palettes[c.mood.light].turned(turn)
	switch own := palettes["forest"]; c.mood.motif { // places keep something of their own colours in any light
	case woods:
		c.near, c.far = c.near.to(own.near, 0.6), c.far.to(own.far, 0.35)
	case meadow:
		c.near, c.far = c.near.to(palettes["spring"].near, 0.4), c.far.to(palettes["spring"].far, 0.3)
	case sea:
		c.near = c.near.to(palettes["ocean"].near, 0.35)
	}
	c.contrast = 1 + (math.Min(s.Guidance, 15)-7)*0.012
	c.horizon = c.between(2, 0.52, 0.66)
	c.sunX = c.between(3, -0.34, 0.34) * wide
	c.sunY = c.horizon - c.between(4, 0.1, 0.34)
	c.sunSize = c.between(5, 0.028, 0.06)
	c.cloudy = c.between(6, 0.25, 0.8)
	switch c.mood.motif {
	case sea, lake:
		c.water = true
	case dunes:
		c.cloudy *= 0.4
	}
	if c.dark {
		c.cloudy *= 0.5
		c.sunY = c.between(4, 0.12, 0.3)
	}
	if c.mood.words["storm"] || c.mood.words["stormy"] {
		c.cloudy = 1
	}
	c.layers = c.land()
	return c
}

// row paints one line of the picture and develops it.
func (c *canvas) row(out *image.RGBA, py int) {
	width, height := out.Rect.Dx(), out.Rect.Dy()
	y := (float64(py) + 0.5) / float64(height)
	at := out.PixOffset(0, py)
	for px := range width {
		x := ((float64(px)+0.5)/float64(width) - 0.5) * c.wide
		light := c.develop(c.look(x, y), x, y, c.noise[5].cell(px, py)-0.5)
		for i := range 3 {
			out.Pix[at+i] = byte(255*clamp(light[i]) + 0.5)
		}
		out.Pix[at+3] = 255
		at += 4
	}
}

// look is what is seen at a place.
func (c *canvas) look(x, y float64) colour {
	switch c.mood.motif {
	case silk:
		return c.silkAt(x, y)
	case space:
		return c.spaceAt(x, y)
	}
	if c.water && y > c.shore(x) {
		return c.waterAt(x, y)
	}
	return c.groundAt(x, y, c.skyAt(x, y))
}

// develop is the film: a soft shoulder, contrast, a darker rim, a trace of grain.
func (c *canvas) develop(l colour, x, y, grain float64) colour {
	dx, dy := x/math.Max(c.wide, 1), (y-0.5)/math.Max(1/c.wide, 1)
	rim := 1 - 0.34*smooth(0.3, 0.95, math.Hypot(dx, dy)*1.25)
	for i := range l {
		v := l[i] * rim
		if v > 0.8 { // highlights roll off instead of clipping
			v = 0.8 + 0.2*(1-math.Exp(-(v-0.8)*4))
		}
		l[i] = 0.5 + (v-0.5)*c.contrast + grain*0.018
	}
	return l
}
