package paint

import "math"

// skyAt is the sky with sun or moon, stars, aurora and clouds.
func (c *canvas) skyAt(x, y float64) colour {
	up := clamp(y / c.horizon)
	l := c.zenith.to(c.sky, smooth(0, 0.72, up)).to(c.palette.horizon, smooth(0.45, 1.02, up))
	dx, dy := x-c.sunX, y-c.sunY
	distance := math.Hypot(dx, dy)
	if c.stars > 0 {
		l = l.plus(colour{1, 1, 1}, c.starsAt(x, y)*c.stars*(1-smooth(0.5, 1, up)))
	}
	if c.mood.light == "aurora" {
		l = l.plus(c.accent, c.curtain(x, y, 0)*0.95).plus(c.accent.to(hex(0x9a5cff), 0.75), c.curtain(x, y, 1)*0.55)
	}
	// A bright sky has little room left for the glow of its sun.
	glow := (0.5*math.Exp(-distance*distance*16) + 0.42*math.Exp(-distance*7.5)) * mix(0.95, 0.34, c.sky.luma())
	if c.dark {
		glow *= 0.5
	}
	l = l.plus(c.sun.to(c.palette.horizon, 0.35), glow)
	disc := smooth(c.sunSize+0.0035, c.sunSize-0.0035, distance)
	if c.dark { // the moon has seas
		mare := 0.82 + 0.3*c.noise[4].clouds(dx*38, dy*38, 3)
		l = l.to(c.sun.times(mare), disc)
	} else {
		l = l.plus(c.sun, disc*0.8)
	}
	return c.cloudsOver(l, x, y, up, distance)
}

// cloudsOver lays clouds over the sky: flat towards the horizon, lit from the side of the sun.
func (c *canvas) cloudsOver(l colour, x, y, up, fromSun float64) colour {
	if c.cloudy < 0.05 {
		return l
	}
	depth := 1 / (0.28 + 1.5*math.Max(0, 1-up)) // seen from below, they crowd together in the distance
	u, v := x*1.9*(0.6+0.4*depth)+c.random(20)*40, y*4.6*(0.5+0.5*depth)
	warp := c.noise[0].clouds(u*0.7+3, v*0.7, 2)
	n := c.noise[1].clouds(u+warp*0.7, v+warp*0.5, 4)
	cover := smooth(0.42-0.55*c.cloudy, 0.62-0.3*c.cloudy, n+0.12) * (1 - smooth(0.9, 1.02, up))
	if cover <= 0 {
		return l
	}
	// The side towards the sun is bright: compare with the density a little nearer to it.
	toX, toY := (c.sunX-x)*0.1, (c.sunY-y)*0.2
	shade := c.noise[1].clouds(u+warp*0.7+toX*2, v+warp*0.5+toY*2, 2)
	lit := clamp(0.5 + (n-shade)*1.3)
	near := math.Exp(-fromSun * 2.6)
	body := c.cloud.to(c.palette.horizon.to(c.sun, 0.45), lit*(0.45+0.55*near)).plus(c.sun, near*lit*0.2)
	return l.to(body, cover*0.82)
}

// starsAt is sparse points of different brightness.
func (c *canvas) starsAt(x, y float64) float64 {
	light := 0.0
	for layer, scale := range [3]float64{55, 95, 150} {
		u, v := x*scale, y*scale
		cx, cy := int(math.Floor(u)), int(math.Floor(v))
		f := c.noise[3] + field(layer)
		if pick := f.cell(cx, cy); pick > 0.9 {
			sx, sy := 0.25+0.5*f.cell(cx, cy+1000), 0.25+0.5*f.cell(cx+1000, cy)
			d := math.Hypot(u-float64(cx)-sx, v-float64(cy)-sy)
			light += (pick - 0.9) * 10 * math.Exp(-d*d*30)
		}
	}
	return light
}

// curtain is one band of aurora: bright at its lower rim, fading upwards, in vertical rays.
func (c *canvas) curtain(x, y float64, n int) float64 {
	shift := c.random(30+n) * 20
	base := c.horizon*(0.62-0.16*float64(n)) + 0.16*c.noise[0].clouds(x*1.3+shift, float64(n)*5, 3)
	height := base - y
	if height < -0.06 || height > 0.75 {
		return 0
	}
	rays := 0.55 + 0.45*c.noise[2].at(x*16+shift+3*c.noise[0].at(x*3, 2), y*1.1)
	fine := 0.75 + 0.25*c.noise[2].at(x*60+shift, y*1.5)
	return rays * fine * smooth(-0.05, 0.012, height) * math.Exp(-math.Max(0, height)*4.6)
}

// spaceAt is a nebula with stars and a planet.
func (c *canvas) spaceAt(x, y float64) colour {
	u, v := x*1.5+c.random(40)*30, y*1.5
	wx, wy := c.noise[0].clouds(u, v, 4), c.noise[1].clouds(u+5, v+2, 4)
	dust := c.noise[2].clouds(u+1.9*wx, v+1.9*wy, 5)
	band := math.Exp(-math.Pow((y-0.5)*1.3+x*c.between(41, -0.9, 0.9)+wx*0.35, 2) * 5)
	l := c.zenith.to(c.sky, clamp(0.3+wx*0.8))
	l = l.plus(c.palette.horizon, smooth(-0.15, 0.6, dust)*band*0.95)
	l = l.plus(c.accent, smooth(0.05, 0.65, -wy+dust*0.5)*band*0.6)
	l = l.plus(hex(0xff9a6a), math.Pow(clamp(dust*1.4), 3)*band*0.9)
	l = l.times(1 - 0.5*smooth(0.12, 0.5, -dust)*band) // lanes of dark dust
	l = l.plus(colour{1, 0.97, 0.95}, c.starsAt(x, y)*1.2+c.starsAt(x*0.37+3, y*0.37)*0.9)
	if c.random(42) > 0.35 {
		l = c.planetOver(l, x, y)
	}
	return l
}

func (c *canvas) planetOver(l colour, x, y float64) colour {
	radius := c.between(43, 0.1, 0.24)
	px, py := c.between(44, -0.3, 0.3)*c.wide, c.between(45, 0.3, 0.72)
	dx, dy := (x-px)/radius, (y-py)/radius
	d := math.Hypot(dx, dy)
	l = l.plus(c.accent, 0.22*math.Exp(-math.Max(0, d-1)*7))
	if d >= 1 {
		return l
	}
	z := math.Sqrt(1 - d*d)
	bands := c.noise[4].clouds(dx*0.9+c.noise[0].at(dx*2, dy*5)*0.3, dy*4.2, 4)
	surface := c.far.to(c.palette.horizon, clamp(0.5+bands*1.1)).to(c.accent, clamp(bands*0.8))
	day := clamp(dx*-0.62 + dy*-0.4 + z*0.66)
	body := surface.times(0.03+1.15*day).plus(c.accent, math.Pow(1-z, 3)*0.5*day)
	return l.to(body, smooth(1, 0.985, d))
}
