package paint

import "math"

// silkAt is folds of colour: noise that is bent by noise, with light along the folds and a fine thread of gold. It is
// for texts that name no place; the folds gather around a warm centre, as a portrait would.
func (c *canvas) silkAt(x, y float64) colour {
	cx, cy := c.between(50, -0.12, 0.12), c.between(51, 0.42, 0.56)
	dx, dy := x-cx, y-cy
	radius := math.Hypot(dx, dy)
	angle := c.between(52, -1.6, 1.6) * math.Exp(-radius*2.4) // the folds turn around the centre
	sin, cos := math.Sincos(angle)
	u, v := (dx*cos-dy*sin)*0.78+c.random(53)*30, (dx*sin+dy*cos)*0.78
	ax, ay := c.noise[0].clouds(u, v, 3), c.noise[1].clouds(u+5.2, v+1.3, 3)
	bx, by := c.noise[2].clouds(u+2.1*ax, v+2.1*ay, 3), c.noise[3].clouds(u+2.1*ax+1.7, v+2.1*ay+9.2, 3)
	n := c.noise[4].clouds(u+1.8*bx, v+1.8*by, 4)
	t := clamp(0.46 + n*1.3)
	l := c.near.to(c.far, smooth(0, 0.4, t)).to(c.sky, smooth(0.3, 0.62, t)).to(c.palette.horizon, smooth(0.55, 0.86, t)).
		to(c.sun, smooth(0.82, 1, t)*0.8)
	l = l.to(c.accent, smooth(0.12, 0.5, math.Abs(bx))*0.5).to(c.zenith, smooth(0.1, 0.55, by)*0.45)
	fold := math.Abs(math.Sin((n*5.5 + bx*2.2) * math.Pi))
	l = l.times(0.78+0.34*math.Pow(fold, 0.6)).plus(c.sun, math.Pow(1-fold, 14)*0.3)
	thread := math.Abs(math.Mod(math.Abs(n*3.1+ax), 1) - 0.5)
	l = l.plus(c.accent.to(c.sun, 0.6), smooth(0.012, 0, thread)*0.4)
	return l.times(0.62+0.55*math.Exp(-radius*radius*2.6)).plus(c.sun, 0.1*math.Exp(-radius*radius*9))
}
