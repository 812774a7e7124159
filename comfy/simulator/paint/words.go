package paint

import (
	"hash/fnv"
	"strings"
	"unicode"
)

// motif is what a picture shows.
type motif string

const (
	mountains motif = "mountains"
	lake      motif = "lake"
	sea       motif = "sea"
	woods     motif = "woods"
	dunes     motif = "dunes"
	meadow    motif = "meadow"
	city      motif = "city"
	space     motif = "space"
	silk      motif = "silk" // folds of colour, for everything that is no place
)

// vocabulary says what words ask for. A word may choose the light, the motif, or both.
var vocabulary = map[string]struct {
	palette string
	motif   motif
}{
	"sunset": {"sunset", ""}, "dusk": {"sunset", ""}, "evening": {"sunset", ""}, "golden": {"sunset", ""}, "warm": {"sunset", ""},
	"dawn": {"dawn", ""}, "sunrise": {"dawn", ""}, "morning": {"dawn", ""}, "mist": {"dawn", ""}, "misty": {"dawn", ""},
	"fog": {"dawn", ""}, "foggy": {"dawn", ""}, "pastel": {"dawn", ""}, "soft": {"dawn", ""}, "dreamy": {"dawn", ""},
	"day": {"day", ""}, "noon": {"day", ""}, "sunny": {"day", ""}, "blue": {"ocean", ""}, "clear": {"day", ""},
	"night": {"night", ""}, "midnight": {"night", ""}, "moon": {"night", ""}, "moonlight": {"night", ""}, "moonlit": {"night", ""},
	"dark": {"night", ""}, "starry": {"night", ""}, "stars": {"night", ""},
	"aurora": {"aurora", ""}, "northern": {"aurora", ""}, "borealis": {"aurora", ""}, "emerald": {"aurora", ""},
	"winter": {"winter", mountains}, "snow": {"winter", mountains}, "snowy": {"winter", mountains}, "ice": {"winter", lake},
	"glacier": {"winter", mountains}, "frozen": {"winter", lake}, "white": {"winter", ""},
	"autumn": {"autumn", woods}, "fall": {"autumn", woods}, "maple": {"autumn", woods}, "orange": {"autumn", ""}, "fox": {"autumn", woods},
	"desert": {"desert", dunes}, "dune": {"desert", dunes}, "dunes": {"desert", dunes}, "sand": {"desert", dunes}, "sahara": {"desert", dunes},
	"storm": {"storm", sea}, "stormy": {"storm", ""}, "rain": {"storm", ""}, "rainy": {"storm", ""}, "grey": {"storm", ""}, "thunder": {"storm", ""},
	"neon": {"neon", city}, "cyberpunk": {"neon", city}, "synthwave": {"neon", ""}, "futuristic": {"neon", city}, "pink": {"neon", ""},
	"fire": {"fire", ""}, "lava": {"fire", mountains}, "volcano": {"fire", mountains}, "dragon": {"fire", mountains}, "red": {"fire", ""},
	"spring": {"spring", meadow}, "flower": {"spring", meadow}, "flowers": {"spring", meadow}, "meadow": {"spring", meadow},
	"garden": {"spring", meadow}, "blossom": {"spring", meadow}, "field": {"", meadow}, "fields": {"", meadow}, "lavender": {"dawn", meadow},
	"poppies": {"sunset", meadow}, "grass": {"spring", meadow},
	"forest": {"forest", woods}, "woods": {"forest", woods}, "tree": {"forest", woods}, "trees": {"forest", woods}, "jungle": {"forest", woods},
	"pine": {"forest", woods}, "pines": {"forest", woods}, "green": {"forest", ""}, "moss": {"forest", woods},
	"ocean": {"ocean", sea}, "sea": {"ocean", sea}, "beach": {"ocean", sea}, "waves": {"ocean", sea}, "wave": {"ocean", sea},
	"island": {"ocean", sea}, "harbour": {"", sea}, "coast": {"ocean", sea}, "lighthouse": {"", sea}, "ship": {"", sea}, "boat": {"", lake},
	"lake": {"", lake}, "river": {"", lake}, "reflection": {"", lake}, "fjord": {"", lake}, "water": {"", lake}, "pond": {"", lake},
	"mountain": {"", mountains}, "mountains": {"", mountains}, "alps": {"", mountains}, "hill": {"", mountains}, "hills": {"", mountains},
	"valley": {"", mountains}, "peak": {"", mountains}, "canyon": {"desert", mountains}, "castle": {"", mountains}, "landscape": {"", mountains},
	"city": {"", city}, "skyline": {"", city}, "street": {"", city}, "tower": {"", city}, "town": {"", city}, "tokyo": {"neon", city},
	"space": {"cosmos", space}, "galaxy": {"cosmos", space}, "nebula": {"cosmos", space}, "planet": {"cosmos", space},
	"cosmic": {"cosmos", space}, "universe": {"cosmos", space}, "astronaut": {"cosmos", space},
	"ink": {"ink", ""}, "sumi": {"ink", mountains}, "monochrome": {"ink", ""}, "sketch": {"ink", ""}, "minimal": {"ink", ""},
	"minimalist": {"ink", ""}, "calligraphy": {"ink", silk}, "haiku": {"ink", mountains},
	"abstract": {"", silk}, "silk": {"", silk}, "marble": {"", silk}, "fluid": {"", silk}, "pattern": {"", silk}, "texture": {"", silk},
	"cat": {"autumn", silk}, "dog": {"desert", silk}, "portrait": {"dawn", silk}, "woman": {"dawn", silk}, "man": {"storm", silk}, "face": {"dawn", silk},
	"bird": {"dawn", ""}, "whale": {"ocean", sea}, "owl": {"night", woods}, "wolf": {"night", woods}, "deer": {"forest", woods}, "horse": {"autumn", meadow},
}

// seasons are words whose motif any other word outdoes.
var seasons = map[string]bool{
	"winter": true, "snow": true, "snowy": true, "ice": true, "frozen": true, "spring": true, "autumn": true, "fall": true,
	"storm": true, "green": true,
}

// mood is what a text asks for.
type mood struct {
	light string // a key of palettes
	motif motif
	words map[string]bool
}

// read takes the first word that chooses the light and the first that chooses the motif; words to avoid do not count.
// A text that says nothing of either gets what its hash picks: always the same.
func read(text, avoid string) mood {
	m := mood{words: map[string]bool{}}
	unwanted := map[string]bool{}
	for _, w := range split(avoid) {
		unwanted[w] = true
	}
	weak, season := "", motif("")
	for _, w := range split(text) { // the light of these drowns any other
		if asks := vocabulary[w]; m.light == "" && !unwanted[w] && (asks.palette == "aurora" || asks.palette == "neon") && w != "pink" {
			m.light = asks.palette
		}
	}
	for _, w := range split(text) {
		m.words[w] = true
		asks, known := vocabulary[w]
		if !known || unwanted[w] {
			continue
		}
		switch {
		case seasons[w]: // "snowy woods" are woods
			if season == "" {
				season = asks.motif
			}
		case m.motif == "":
			m.motif = asks.motif
		}
		// Of "forest at night" the night is the light: a word of light alone is stronger than one that names a place.
		switch {
		case asks.palette != "" && asks.motif == "" && m.light == "":
			m.light = asks.palette
		case weak == "":
			weak = asks.palette
		}
	}
	if m.light == "" {
		m.light = weak
	}
	if m.motif == "" {
		m.motif = season
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(text)) // a hash takes everything
	if m.light == "" {
		m.light = paletteNames[hash.Sum64()%uint64(len(paletteNames))]
	}
	if m.motif == "" {
		m.motif = []motif{mountains, silk, lake, meadow, silk, sea}[hash.Sum64()>>8%6]
		if m.light == "cosmos" || m.light == "aurora" && hash.Sum64()&1 == 0 {
			m.motif = map[string]motif{"cosmos": space, "aurora": lake}[m.light]
		}
	}
	return m
}

func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
}
