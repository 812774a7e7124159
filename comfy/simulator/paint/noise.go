package paint

import "math"

// field is smooth noise over the plane, different for each seed. It is cheap: one hash for each corner of a cell.
type field uint64

// hash turns a cell of the field into 64 random bits.
func (f field) hash(x, y int) uint64 {
	h := uint64(f) ^ uint64(uint32(x))*0x9e3779b97f4a7c15 ^ uint64(uint32(y))*0xc2b2ae3d27d4eb4f
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 32
	return h
}

// cell returns a random number from 0 to 1 for a whole cell.
func (f field) cell(x, y int) float64 { return float64(f.hash(x, y)>>11) / (1 << 53) }

// at returns smooth noise from -1 to 1: random gradients at the corners of unit cells, faded into each other.
func (f field) at(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	x, y = x-fx, y-fy
	u, v := x*x*x*(x*(x*6-15)+10), y*y*y*(y*(y*6-15)+10)
	a := gradient(f.hash(ix, iy), x, y)
	b := gradient(f.hash(ix+1, iy), x-1, y)
	c := gradient(f.hash(ix, iy+1), x, y-1)
	d := gradient(f.hash(ix+1, iy+1), x-1, y-1)
	return mix(mix(a, b, u), mix(c, d, u), v) * 1.5
}

// gradient is the product of (x, y) with one of eight directions.
func gradient(h uint64, x, y float64) float64 {
	if h&4 != 0 {
		x, y = y, x
	}
	if h&1 != 0 {
		x = -x
	}
	if h&2 != 0 {
		y = -y
	}
	return x + y*0.45
}

// clouds sums octaves of the field, each twice as fine and half as strong; about -1 to 1.
func (f field) clouds(x, y float64, octaves int) float64 {
	sum, strength := 0.0, 0.5
	for range octaves {
		sum += strength * f.at(x, y)
		x, y, strength = x*2.03+17.7, y*2.03-9.2, strength/2
	}
	return sum
}

// ridges is like clouds, folded so that it has sharp crests; 0 to 1.
func (f field) ridges(x, y float64, octaves int) float64 {
	sum, strength, carry := 0.0, 0.55, 1.0
	for range octaves {
		n := 1 - math.Abs(f.at(x, y))
		n *= n * carry
		sum += strength * n
		carry = min(1, n*1.6)
		x, y, strength = x*2.07+3.1, y*2.07+5.9, strength/2
	}
	return sum
}

func mix(a, b, t float64) float64 { return a + (b-a)*t }

func clamp(x float64) float64 { return min(1, max(0, x)) }

// smooth goes from 0 at a to 1 at b, gently at both ends; a may be larger than b.
func smooth(a, b, x float64) float64 {
	t := clamp((x - a) / (b - a))
	return t * t * (3 - 2*t)
}
