package paint

import "math"

// layer is one range of land, from far to near, as the line of its crest.
type layer struct {
	kind  motif
	depth float64   // 0 far away, 1 at our feet
	crest []float64 // y of the crest at samples along x
	field field
}

const crestSamples = 1536

// land builds the layers, far ones first.
func (c *canvas) land() []layer {
	var kind motif
	count, top, bottom, rough := 5, c.horizon-0.12, 0.98, 1.0
	switch c.mood.motif {
	case silk, space:
		return nil
	case sea:
		kind, count = mountains, int(c.between(60, 0, 2.9))
		top, bottom, rough = c.horizon-0.015, c.horizon, 0.32
	case lake:
		kind, count = mountains, 3+int(c.between(60, 0, 2))
		top, bottom = c.horizon-0.15, c.horizon-0.012
	case woods:
		kind, count, top = woods, 6, c.horizon-0.14
	case dunes:
		kind, top, rough = dunes, c.horizon-0.01, 0.62
	case meadow:
		kind, count, top, rough = mountains, 4, c.horizon-0.05, 0.5
	case city:
		kind, count, top, bottom = city, 4, c.horizon-0.05, c.horizon+0.05
		c.water = c.random(61) > 0.3
		if !c.water {
			bottom = 0.97
		}
	default:
		kind = mountains
	}
	layers := make([]layer, count)
	for i := range layers {
		depth := (float64(i) + 0.35) / (float64(count) - 0.3)
		l := layer{kind: kind, depth: depth, crest: make([]float64, crestSamples), field: field(c.seed ^ uint64(i+11)*0x94d049bb133111eb)}
		base := mix(top, bottom, math.Pow(depth, 1.25))
		if c.mood.motif == meadow && i == count-1 {
			l.kind, base = meadow, c.horizon+0.1
		}
		for s := range l.crest {
			x := c.sampleX(s)
			l.crest[s] = base - l.rise(x, rough, c)
		}
		layers[i] = l
	}
	return layers
}

func (c *canvas) sampleX(s int) float64 { return (float64(s)/(crestSamples-1) - 0.5) * c.wide * 1.2 }

// at returns the y of the crest at x.
func (l *layer) at(x, wide float64) float64 {
	s := clamp(x/(wide*1.2)+0.5) * (crestSamples - 1)
	i := min(int(s), crestSamples-2)
	return mix(l.crest[i], l.crest[i+1], s-float64(i))
}

// rise is how far the land stands up at x.
func (l *layer) rise(x, rough float64, c *canvas) float64 {
	f := l.field
	switch l.kind {
	case dunes:
		n := f.at(x*1.1+l.depth*3, 0.5) + 0.4*f.at(x*2.3, 4)
		crest := 1 - math.Abs(f.at(x*0.9+7, 2.5))
		return rough * (0.1*n + 0.14*crest*crest)
	case woods:
		return 0.13*f.clouds(x*1.4, 1, 3) + firs(f, x, l.depth)
	case city:
		return skyline(f, x, mix(30, 13, l.depth), mix(0.34, 0.2, l.depth)*(1-0.45*math.Min(1, math.Abs(x/c.wide)*1.7)))
	case meadow:
		return 0.05 * f.at(x*1.3, 0)
	default:
		crag := f.ridges(x*mix(1.5, 1.05, l.depth)+l.depth*9, 0.7, 6) - 0.35
		return rough * mix(0.34, 0.2, l.depth) * (crag + 0.5*f.at(x*0.8, 3))
	}
}

// firs is a row of trees of all ages: the tallest of those that stand around x. Two rows of different spacing keep it
// from looking planted.
func firs(f field, x, depth float64) float64 {
	highest := 0.0
	for row := range 2 {
		dense := mix(46, 7, math.Sqrt(depth)) * (1 + 0.62*float64(row))
		tall := mix(0.03, 0.34, depth*depth) * (1 - 0.35*float64(row))
		g := f + field(row*77)
		at := math.Floor(x * dense)
		for d := -1.0; d <= 1; d++ {
			cell := int(at + d)
			age := g.cell(cell, 2)
			if age < 0.22 {
				continue // a clearing
			}
			trunk := (at + d + 0.15 + 0.7*g.cell(cell, 1)) / dense
			height := tall * (0.2 + 0.8*age*age)
			spread := (0.24 + 0.3*age) / dense
			away := math.Abs(x-trunk) / spread
			if away >= 1 {
				continue
			}
			branch := 0.1 * math.Abs(math.Sin(away*17+age*9)) * (1 - away)
			highest = math.Max(highest, height*(1-math.Pow(away, 0.62)+branch))
		}
	}
	return highest
}

// skyline is a row of houses.
func skyline(f field, x, dense, tall float64) float64 {
	cell := int(math.Floor(x * dense))
	height := tall * (0.25 + 0.75*math.Pow(f.cell(cell, 1), 1.7))
	inside := x*dense - math.Floor(x*dense)
	if roof := f.cell(cell, 2); roof > 0.6 && math.Abs(inside-0.5) < 0.22 { // a set-back top
		height += tall * 0.12
		if roof > 0.86 && math.Abs(inside-0.5) < 0.025 { // and a mast
			height += tall * 0.16
		}
	}
	return height
}

const edge = 0.0022 // how softly a crest ends, in heights of the picture

// groundAt lays the land over what is behind it.
func (c *canvas) groundAt(x, y float64, behind colour) colour {
	first := -1
	for i := len(c.layers) - 1; i >= 0; i-- {
		if y > c.layers[i].at(x, c.wide)+edge {
			first = i
			break
		}
	}
	l := behind
	if first >= 0 {
		l = c.landAt(&c.layers[first], x, y)
	}
	for i := first + 1; i < len(c.layers); i++ {
		if crest := c.layers[i].at(x, c.wide); y > crest-edge {
			l = l.to(c.landAt(&c.layers[i], x, y), smooth(crest-edge, crest+edge, y))
		}
	}
	return l
}

// landAt is the surface of one layer.
func (c *canvas) landAt(l *layer, x, y float64) colour {
	below := y - l.at(x, c.wide)
	body := c.far.to(c.near, math.Pow(l.depth, 0.85))
	towards := math.Exp(-math.Abs(x-c.sunX) * 1.6) // land under the sun swims in its light
	body = body.plus(c.sun, 0.2*towards*(1-l.depth))
	switch l.kind {
	case dunes:
		body = c.sandAt(l, x, y, below, body)
	case meadow:
		body = c.meadowAt(x, y, below, body)
	case city:
		body = c.windowsAt(l, x, y, body)
	case woods:
		grain := l.field.at(x*mix(160, 60, l.depth), y*mix(60, 26, l.depth))
		body = body.times(1 + 0.16*grain)
	default:
		body = c.rockAt(l, x, y, below, body)
	}
	thick := 0.85
	if l.kind == woods {
		thick = 1.25
	}
	mist := (1 - l.depth) * thick * smooth(0.015, mix(0.2, 0.34, l.depth), below)
	if c.water || l.kind == meadow {
		mist *= 0.45
	}
	return body.to(c.palette.horizon.to(c.sky, 0.25), math.Min(mist, 0.92))
}

// rockAt lights slopes from the side of the sun, and lets snow lie on high crests.
func (c *canvas) rockAt(l *layer, x, y, below float64, body colour) colour {
	scale := mix(16, 8, l.depth)
	n := l.field.clouds(x*scale+below*scale*0.9, y*scale, 4)
	side := math.Copysign(0.012, c.sunX) // one side for the whole picture, or there would be a seam
	slope := n - l.field.clouds((x+side)*scale+below*scale*0.9, (y-0.008)*scale, 3)
	light := clamp(0.5 + slope*2.4)
	body = body.times(0.76+0.46*light).plus(c.sun, 0.13*light*light*(1-l.depth*0.6))
	if c.mood.motif != mountains && c.mood.motif != lake || c.random(70) < 0.4 && c.mood.light != "winter" {
		return body
	}
	lies := smooth(0.1+0.08*n, 0.02+0.06*n, below) * smooth(1, 0.35, l.depth)
	if c.mood.light == "winter" {
		lies = math.Max(lies, 0.75*smooth(0.1, -0.25, n+below*1.2))
	}
	snow := c.palette.horizon.to(c.sun, 0.3+0.5*light)
	return body.to(snow.times(0.62+0.4*light), lies*0.85)
}

// sandAt has a lit and a shaded side for each crest, and ripples near by.
func (c *canvas) sandAt(l *layer, x, y, below float64, body colour) colour {
	f := l.field
	bend := x + 0.35*below*f.at(x*1.5, y*2+5) + below*c.between(62, -0.9, 0.9)
	slope := f.at(bend*1.6+0.06, y*1.4) - f.at(bend*1.6, y*1.4)
	lit := smooth(-0.05, 0.06, slope)
	ripple := math.Sin((y*mix(260, 130, l.depth) + 9*f.at(x*4, y*7)) * 2)
	bright := c.far.to(c.palette.horizon, 0.4).to(body, l.depth*0.42)
	return body.to(bright, 0.22+0.66*lit).times(1 + 0.045*ripple*smooth(0, 0.12, below)*(0.3+l.depth))
}

// meadowAt is grass with blossoms, which grow larger towards us.
func (c *canvas) meadowAt(x, y, below float64, body colour) colour {
	f := c.noise[2]
	near := clamp((y - c.horizon) / (1 - c.horizon))
	grass := f.at(x*mix(240, 46, near), y*mix(60, 17, near)) * 0.6
	l := body.to(c.far, 0.42*(1-near)).times(0.86 + 0.3*grass + 0.24*f.at(x*3, y*9))
	for i := range 4 {
		scale := mix(110, 15, math.Pow(near, 0.8)) * (1 + 0.37*float64(i))
		scale = math.Exp2(math.Round(math.Log2(scale)*2) / 2) // rows of one size each, or blossoms would be torn
		u, v := x*scale+float64(i)*31, y*scale*1.25
		cx, cy := int(math.Floor(u)), int(math.Floor(v))
		g := c.noise[3] + field(i)
		pick := g.cell(cx, cy)
		if pick < 0.25 || pick < 0.62-0.4*f.at(x*2.2+float64(i)*4, y*5) { // they grow in patches
			continue
		}
		size := 0.13 + 0.2*g.cell(cx, cy+500)
		ox, oy := 0.3+0.4*g.cell(cx+500, cy), 0.3+0.4*g.cell(cx+900, cy)
		dx, dy := u-float64(cx)-ox, v-float64(cy)-oy
		d := math.Hypot(dx, dy*1.35) * (1 + 0.14*math.Cos(5*math.Atan2(dy, dx)))
		petal := c.accent.to(c.sun, 0.75*g.cell(cx+70, cy)).to(hex(0xb04a9a), 0.5*g.cell(cx, cy+70)).times(0.72 + 0.5*g.cell(cx+3, cy))
		l = l.to(petal, smooth(size, size*0.62, d)*0.92).to(hex(0xffe28a), smooth(size*0.32, size*0.2, d)*0.8)
	}
	return l
}

// windowsAt lights some windows of the houses.
func (c *canvas) windowsAt(l *layer, x, y float64, body colour) colour {
	across, up := mix(230, 105, l.depth), mix(150, 66, l.depth)
	u, v := x*across, y*up
	cx, cy := int(math.Floor(u)), int(math.Floor(v))
	fx, fy := u-math.Floor(u), v-math.Floor(v)
	body = body.times(0.9 + 0.2*l.field.cell(int(math.Floor(x*mix(30, 13, l.depth))), 9))
	chance := 0.83
	if c.dark {
		chance = 0.62
	}
	if l.field.cell(cx, cy) < chance || fx < 0.26 || fx > 0.78 || fy < 0.28 || fy > 0.74 {
		return body
	}
	lamp := c.accent.to(hex(0xffd79a), l.field.cell(cx+40, cy))
	return body.to(lamp, (0.35+0.6*l.field.cell(cx, cy+40))*mix(0.55, 1, l.depth))
}

// shore is where the water begins.
func (c *canvas) shore(x float64) float64 {
	if c.mood.motif == sea {
		return c.horizon
	}
	return c.horizon + 0.004*c.noise[4].at(x*9, 1)
}

// waterAt mirrors what is above it, broken by waves that grow towards us, with the sun's path on them.
func (c *canvas) waterAt(x, y float64) colour {
	shore := c.shore(x)
	down := y - shore
	far := 1 / (down + 0.035) // about the distance
	wave := c.noise[1].at(x*far*0.62+3, far*1.9) + 0.5*c.noise[2].at(x*far*1.5, far*4.3+7)
	choppy := 0.006 + 0.055*down
	if c.mood.motif == sea {
		choppy *= 1.9
	}
	mirrorY := math.Max(0, shore-down*0.92+wave*choppy*1.6)
	mirrorX := x + wave*choppy*0.5
	l := c.groundAt(mirrorX, math.Min(mirrorY, shore-0.001), c.skyAt(mirrorX, mirrorY))
	deep := c.near.to(c.zenith, 0.55)
	l = l.times(0.86).to(deep, 0.16+0.42*smooth(0, 0.42, down))
	l = l.times(1 + 0.17*wave*smooth(0, 0.06, down))
	if c.mood.motif == sea {
		crest := c.noise[3].at(x*far*0.5, far*2.6+wave)
		l = l.plus(c.sky, 0.14*smooth(0.25, 0.8, crest)).plus(colour{1, 1, 1}, 0.26*smooth(0.62, 0.95, crest+0.25*wave)*smooth(0.05, 0.3, down))
	}
	path := math.Exp(-math.Pow((x-c.sunX)/(0.035+down*0.3), 2))
	glitter := smooth(0.18, 0.75, wave+0.3*c.noise[0].at(x*far*2.4, far*7))
	strength := 0.85
	if c.dark {
		strength = 0.5
	}
	return l.plus(c.sun, path*(0.12+glitter*strength)*smooth(0, 0.01, down))
}
