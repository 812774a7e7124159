package comfy

import "testing"

func TestWithoutNaN(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{"a": 1}`, `{"a": 1}`},
		{`{"a": NaN, "b": [Infinity, -Infinity]}`, `{"a": null, "b": [null, null]}`},
		{`{"NaN": "Infinity and NaN", "a": NaN}`, `{"NaN": "Infinity and NaN", "a": null}`},
		{`["a \" NaN", NaN]`, `["a \" NaN", null]`},
		{`["\\", NaN]`, `["\\", null]`},
		{`"NaN`, `"NaN`},
	} {
		if got := string(withoutNaN([]byte(tt.text))); got != tt.want {
			t.Errorf("withoutNaN(%s) = %s, want %s", tt.text, got, tt.want)
		}
	}
}

// Without a NaN nothing is copied.
func TestWithoutNaNCostsNothing(t *testing.T) {
	text := []byte(`{"type": "progress", "data": {"value": 5}}`)
	if allocs := testing.AllocsPerRun(100, func() { text = withoutNaN(text) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
