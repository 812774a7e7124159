package static

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// linear is a colour in linear sRGB, each 0 to 1.
type linear [3]float64

// fromOKLCH converts lightness (0 to 1), chroma and hue (degrees) as CSS Color 4 does.
func fromOKLCH(l, c, h float64) linear {
	a, b := c*math.Cos(h*math.Pi/180), c*math.Sin(h*math.Pi/180)
	cube := func(v float64) float64 { return v * v * v }
	l, m, s := cube(l+0.3963377774*a+0.2158037573*b), cube(l-0.1055613458*a-0.0638541728*b), cube(l-0.0894841775*a-1.2914855480*b)
	clamp := func(v float64) float64 { return min(max(v, 0), 1) }
	return linear{
		clamp(4.0767416621*l - 3.3077115913*m + 0.2309699292*s),
		clamp(-1.2684380046*l + 2.6097574011*m - 0.3413193965*s),
		clamp(-0.0041960863*l - 0.7034186147*m + 1.7076147010*s),
	}
}

// contrast is the ratio of WCAG 2.
func contrast(a, b linear) float64 {
	luminance := func(c linear) float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }
	high, low := max(luminance(a), luminance(b)), min(luminance(a), luminance(b))
	return (high + 0.05) / (low + 0.05)
}

// tokens are the colours of the stylesheet by name, in light and in dark.
func tokens(t *testing.T) map[string][2]linear {
	t.Helper()
	css, err := embedded.ReadFile("app.css")
	if err != nil {
		t.Fatal(err)
	}
	const colour = `oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)`
	found := map[string][2]linear{}
	parse := func(parts [][]byte) linear {
		var v [3]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(string(parts[i]), 64); err != nil {
				t.Fatal(err)
			}
		}
		return fromOKLCH(v[0]/100, v[1], v[2])
	}
	for _, m := range regexp.MustCompile(`--([\w-]+): light-dark\(`+colour+`, `+colour+`\);`).FindAllSubmatch(css, -1) {
		found[string(m[1])] = [2]linear{parse(m[2:5]), parse(m[5:8])}
	}
	for _, m := range regexp.MustCompile(`--([\w-]+): `+colour+`;`).FindAllSubmatch(css, -1) {
		c := parse(m[2:5])
		found[string(m[1])] = [2]linear{c, c}
	}
	return found
}

func TestContrastOfTokens(t *testing.T) {
	if got := contrast(fromOKLCH(1, 0, 0), fromOKLCH(0, 0, 0)); math.Abs(got-21) > 0.01 {
		t.Fatalf("contrast of white and black = %.3f, want 21", got)
	}
	all := tokens(t)
	grounds := []string{"ground", "surface", "raised"}
	for _, test := range []struct {
		front  string
		behind []string
		least  float64
	}{
		{"text", grounds, 7},
		{"quiet", grounds, 4.5},
		{"accent", grounds, 4.5},
		{"good", grounds, 4.5},
		{"warn", grounds, 4.5},
		{"bad", grounds, 4.5},
		{"control", grounds, 3},
		{"accent-text", []string{"accent"}, 4.5},
		{"fill-text", []string{"fill"}, 4.5},
	} {
		front, ok := all[test.front]
		if !ok {
			t.Errorf("the stylesheet has no token --%s", test.front)
			continue
		}
		for _, name := range test.behind {
			behind, ok := all[name]
			if !ok {
				t.Errorf("the stylesheet has no token --%s", name)
				continue
			}
			for i, theme := range []string{"light", "dark"} {
				if got := contrast(front[i], behind[i]); got < test.least {
					t.Errorf("%s: --%s on --%s has contrast %.2f, want at least %.1f", theme, test.front, name, got, test.least)
				}
			}
		}
	}
}
