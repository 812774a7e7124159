package paint

import "math"

// colour is red, green and blue, 0 to 1; light may exceed 1 until the picture is developed.
type colour [3]float64

func hex(rgb uint32) colour {
	return colour{float64(rgb>>16&255) / 255, float64(rgb>>8&255) / 255, float64(rgb&255) / 255}
}

func (c colour) to(d colour, t float64) colour {
	return colour{mix(c[0], d[0], t), mix(c[1], d[1], t), mix(c[2], d[2], t)}
}

func (c colour) times(f float64) colour { return colour{c[0] * f, c[1] * f, c[2] * f} }

func (c colour) plus(d colour, f float64) colour {
	return colour{c[0] + d[0]*f, c[1] + d[1]*f, c[2] + d[2]*f}
}

func (c colour) luma() float64 { return 0.3*c[0] + 0.59*c[1] + 0.11*c[2] }

// palette is the light of a picture.
type palette struct {
	zenith, sky, horizon colour  // from the top of the sky down
	sun                  colour  // and what it lights
	far, near            colour  // land in the haze, land at our feet
	accent               colour  // windows, blossoms, aurora
	cloud                colour  // in the shade
	stars                float64 // 0 to 1
	dark                 bool    // a moon rather than a sun
}

var palettes = map[string]palette{
	"sunset": {hex(0x2b2a5e), hex(0xb6517a), hex(0xffb066), hex(0xfff0c0), hex(0xb0667e), hex(0x1d1530), hex(0xff8f5a), hex(0x6d3f74), 0.05, false},
	"dawn":   {hex(0x5d7fb8), hex(0xd9b7c9), hex(0xffe1c4), hex(0xfff7e0), hex(0xb9a9c4), hex(0x36425f), hex(0xff9f9f), hex(0xb79bb8), 0, false},
	"day":    {hex(0x2f74c0), hex(0x79b4e3), hex(0xdcecf2), hex(0xfffbe8), hex(0x9fb9c9), hex(0x2d4a34), hex(0xffd76a), hex(0xb5c8d8), 0, false},
	"forest": {hex(0x5f8f8a), hex(0xa9c6a8), hex(0xf2efc6), hex(0xfffbd0), hex(0x9dbd9b), hex(0x10261b), hex(0xd7e46a), hex(0x9db9a4), 0, false},
	"ocean":  {hex(0x0f4c81), hex(0x3f97b8), hex(0xd8f0e8), hex(0xfff8e0), hex(0x6ea4b4), hex(0x0b2f45), hex(0x7fe0d0), hex(0x9cc4cf), 0, false},
	"night":  {hex(0x050a1e), hex(0x11244a), hex(0x35547e), hex(0xdfe9ff), hex(0x2a4468), hex(0x040811), hex(0xffc36a), hex(0x1b2c4c), 1, true},
	"aurora": {hex(0x04101f), hex(0x0b2a3a), hex(0x1d5a5a), hex(0xc9ffe8), hex(0x1d4452), hex(0x030a10), hex(0x5dffb0), hex(0x0e2c36), 1, true},
	"winter": {hex(0x6d8fb5), hex(0xb4cbe0), hex(0xf6f2ee), hex(0xfffaf0), hex(0xc7d6e4), hex(0x53687f), hex(0xffffff), hex(0xc4d0de), 0, false},
	"autumn": {hex(0x6a86a3), hex(0xd7b98a), hex(0xffe0a8), hex(0xfff2cc), hex(0xc98f58), hex(0x3a1a12), hex(0xff7a2f), hex(0xc2a184), 0, false},
	"desert": {hex(0x3f7fb5), hex(0xe0b98a), hex(0xffe3b0), hex(0xfff4d6), hex(0xe0a46a), hex(0x7a3a1c), hex(0xffc56a), hex(0xe3c2a0), 0, false},
	"storm":  {hex(0x22303c), hex(0x4c606e), hex(0xaab6b6), hex(0xe8f0f0), hex(0x64747c), hex(0x11181d), hex(0xd8e6ff), hex(0x2b3842), 0, false},
	"neon":   {hex(0x0b0524), hex(0x4a1468), hex(0xff4fa0), hex(0xffd0f0), hex(0x5a2080), hex(0x08041a), hex(0x39e8ff), hex(0x3a1260), 0.5, true},
	"fire":   {hex(0x1a0606), hex(0x7a1a0c), hex(0xff7a1e), hex(0xffe08a), hex(0x8a2a14), hex(0x120404), hex(0xffb02e), hex(0x4a120a), 0.1, false},
	"spring": {hex(0x6fb1e0), hex(0xbfe0e8), hex(0xfdf0e6), hex(0xfffbe6), hex(0xb5d3a0), hex(0x3d6b34), hex(0xff9ec4), hex(0xdfe6ea), 0, false},
	"ink":    {hex(0xe9e3d6), hex(0xf3eee2), hex(0xfaf6ec), hex(0xfffdf6), hex(0xb9b6ae), hex(0x1b1c20), hex(0xa8322a), hex(0xd2cdc2), 0, false},
	"cosmos": {hex(0x04020f), hex(0x1a0f3c), hex(0x5b2a86), hex(0xffe6ff), hex(0x3a1f66), hex(0x02010a), hex(0x4fd0ff), hex(0x241450), 1, true},
}

// paletteNames is the order in which a text without a mood of its own picks one.
var paletteNames = []string{"sunset", "dawn", "forest", "ocean", "aurora", "autumn", "spring", "night", "desert", "cosmos"}

// turned shifts every hue of a palette by that many turns, keeping lightness about as it is.
func (p palette) turned(turns float64) palette {
	sin, cos := math.Sincos(2 * math.Pi * turns)
	for _, c := range []*colour{&p.zenith, &p.sky, &p.horizon, &p.sun, &p.far, &p.near, &p.accent, &p.cloud} {
		y := c.luma()
		u, v := (c[2]-y)*0.493, (c[0]-y)*0.877
		u, v = u*cos-v*sin, u*sin+v*cos
		b, r := y+u/0.493, y+v/0.877
		*c = colour{r, (y - 0.3*r - 0.11*b) / 0.59, b}
	}
	return p
}
