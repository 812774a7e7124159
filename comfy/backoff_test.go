package comfy

import (
	"testing"
	"time"
)

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	for range 200 {
		b := backoff{shortest: 500 * time.Millisecond, longest: 15 * time.Second}
		for _, bound := range []time.Duration{1, 2, 4, 8, 15, 15, 15} {
			bound *= time.Second
			if d := b.next(); d < bound/2 || d > bound {
				t.Fatalf("wait %s, want %s to %s", d, bound/2, bound)
			}
		}
		b.reset()
		if d := b.next(); d < 500*time.Millisecond || d > time.Second {
			t.Fatalf("first wait after reset %s, want 0.5 s to 1 s", d)
		}
	}
}

func TestBackoffHasJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 50 {
		b := backoff{shortest: time.Second, longest: time.Minute}
		seen[b.next()] = true
	}
	if len(seen) < 25 {
		t.Errorf("50 first waits took %d values", len(seen))
	}
}
