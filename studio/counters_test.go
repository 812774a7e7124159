package studio_test

import (
	"testing"
	"time"

	"easel/studio"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h studio.Histogram
	for _, d := range []time.Duration{time.Millisecond, 5 * time.Millisecond, time.Second, time.Hour} {
		h.Observe(d)
	}
	count, sum, notAbove := h.Read()
	if count != 4 || sum < 3601 || sum > 3601.1 {
		t.Errorf("count %d, sum %g; want 4 and 3601.006", count, sum)
	}
	for bound, want := range map[float64]uint64{.005: 2, .5: 2, 1: 3, 180: 3} {
		if notAbove[bound] != want {
			t.Errorf("not above %g s: %d, want %d", bound, notAbove[bound], want)
		}
	}
}
