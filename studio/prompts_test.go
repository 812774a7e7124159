package studio_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"easel/studio"
)

// Alternatives in a prompt are drawn for each image, by its seed: what was written stays with the generation, what was
// drawn is in the graph, and the same seed draws the same.
func TestAlternativesAreDrawnForEachImage(t *testing.T) {
	t.Parallel()
	w := open(t)
	const written = "a {red|green|blue} house, {{x}"
	ask := request(written)
	ask.TotalImages, ask.NegativePrompt = 6, new("{fog|rain}")
	ask.Settings["seed"] = json.RawMessage("7")
	sent := func(g studio.Generation) (texts []string) {
		t.Helper()
		w.awaitStatus(g.ID, studio.Complete)
		if stored := w.stored(g.ID); stored.Prompt != written || stored.NegativePrompt != "{fog|rain}" {
			t.Errorf("stored: %q without %q", stored.Prompt, stored.NegativePrompt)
		}
		attempts, err := w.studio.Attempts(t.Context(), g.ID)
		if err != nil {
			t.Fatal(err)
		}
		texts = make([]string, len(attempts))
		for _, a := range attempts {
			var drawn []string
			for _, color := range []string{"a red house, {{x}", "a green house, {{x}", "a blue house, {{x}"} {
				for _, weather := range []string{`"fog"`, `"rain"`} {
					if graph := string(a.Graph); strings.Contains(graph, `"`+color+`"`) && strings.Contains(graph, weather) {
						drawn = append(drawn, color+" "+weather)
					}
				}
			}
			if len(drawn) != 1 {
				t.Fatalf("image %d has %q, want one text: %s", a.ImageIndex, drawn, a.Graph)
			}
			texts[a.ImageIndex-1] = drawn[0]
		}
		return texts
	}
	first := sent(w.create(ask))
	if kinds := slices.Compact(slices.Sorted(slices.Values(first))); len(kinds) < 2 {
		t.Errorf("six images have the one text %q", kinds)
	}
	if again := sent(w.create(ask)); !slices.Equal(again, first) {
		t.Errorf("the same seeds draw %q, before it was %q", again, first)
	}

	ask.Prompt = "a {0::red|0::green} house"
	var invalid *studio.InvalidError
	if _, _, err := w.studio.Create(t.Context(), ask); !errors.As(err, &invalid) || invalid.Fields[0].Field != "prompt" {
		t.Errorf("of what cannot be drawn: %v", err)
	}
}
