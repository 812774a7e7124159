package studio_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/studio"
)

// Every complaint names its field, and nothing is stored.
func TestInvalid(t *testing.T) {
	t.Parallel()
	w := open(t)
	setting := func(name, value string) map[string]json.RawMessage {
		return map[string]json.RawMessage{name: json.RawMessage(value)}
	}
	for _, test := range []struct {
		name  string
		ask   studio.Request
		field string
	}{
		{"empty prompt", studio.Request{Prompt: ""}, "prompt"},
		{"blank prompt", studio.Request{Prompt: " \n"}, "prompt"},
		{"long prompt", studio.Request{Prompt: strings.Repeat("ä", studio.MaxPromptRunes+1)}, "prompt"},
		{"NUL", studio.Request{Prompt: "a\x00b"}, "prompt"},
		{"broken UTF-8", studio.Request{Prompt: "a\xff"}, "prompt"},
		{"NUL in negative prompt", studio.Request{Prompt: "a", NegativePrompt: new("\x00")}, "negativePrompt"},
		{"no images", studio.Request{Prompt: "a", TotalImages: -1}, "totalImages"},
		{"too many images", studio.Request{Prompt: "a", TotalImages: 65}, "totalImages"},
		{"unknown workflow", studio.Request{Prompt: "a", Workflow: "nothing"}, "workflow"},
		{"unknown setting", studio.Request{Prompt: "a", Settings: setting("stepz", "4")}, "settings.stepz"},
		{"prompt among the settings", studio.Request{Prompt: "a", Settings: setting("prompt", `"b"`)}, "settings.prompt"},
		{"seed of 2^64", studio.Request{Prompt: "a", Settings: setting("seed", "18446744073709551616")}, "settings.seed"},
		{"seed with an exponent", studio.Request{Prompt: "a", Settings: setting("seed", "1e3")}, "settings.seed"},
		{"seed that is no number", studio.Request{Prompt: "a", Settings: setting("seed", `"NaN"`)}, "settings.seed"},
		{"seed in other digits", studio.Request{Prompt: "a", Settings: setting("seed", `"０１"`)}, "settings.seed"},
		{"width 0", studio.Request{Prompt: "a", Settings: setting("width", "0")}, "settings.width"},
		{"width 10^9", studio.Request{Prompt: "a", Settings: setting("width", "1000000000")}, "settings.width"},
		{"more pixels than can be kept", studio.Request{Prompt: "a", Settings: map[string]json.RawMessage{"width": json.RawMessage("16384"), "height": json.RawMessage("16384")}}, "settings.width"},
		{"width with a fraction", studio.Request{Prompt: "a", Settings: setting("width", "512.5")}, "settings.width"},
		{"long key", studio.Request{Prompt: "a", IdempotencyKey: strings.Repeat("k", 256)}, "idempotencyKey"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := w.studio.Create(t.Context(), test.ask)
			var invalid *studio.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("Create() = %v, want an InvalidError", err)
			}
			if len(invalid.Fields) != 1 || invalid.Fields[0].Field != test.field || invalid.Fields[0].Message == "" {
				t.Errorf("complaints = %+v, want one about %s", invalid.Fields, test.field)
			}
		})
	}
	if n := w.count("SELECT count(*) FROM generations"); n != 0 {
		t.Errorf("%d generations were stored", n)
	}
}

// The longest prompt is kept as it is, with everything that text can hold.
func TestLongestPrompt(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	prompt := strings.Repeat("🦩", studio.MaxPromptRunes-12) + "<b>\u202e'{{7*7}}"
	prompt = string([]rune(prompt)[:min(len([]rune(prompt)), studio.MaxPromptRunes)])
	g := w.create(studio.Request{Prompt: prompt, Settings: map[string]json.RawMessage{"seed": json.RawMessage("-1")}})
	stored := w.stored(g.ID)
	if stored.Prompt != prompt || stored.Images[0].Seed != g.Images[0].Seed || stored.Settings["seed"] != g.Images[0].Seed {
		t.Errorf("stored prompt of %d bytes, want %d; seed %d, want %d",
			len(stored.Prompt), len(prompt), stored.Images[0].Seed, g.Images[0].Seed)
	}
}

// A thousand identical posts at once are one generation.
func TestIdempotencyStorm(t *testing.T) {
	t.Parallel()
	w := open(t)
	sum := sha256.Sum256([]byte("body"))
	r := request("only one")
	r.IdempotencyKey, r.BodyHash = "storm", sum[:]
	const posts = 1000
	ids, created := make([]uuid.UUID, posts), make([]bool, posts)
	var group sync.WaitGroup
	var again atomic.Bool
	began := time.Now()
	for i := range posts {
		group.Go(func() {
			g, first, err := w.studio.Create(t.Context(), r)
			for errors.Is(err, studio.ErrUnavailable) && time.Since(began) < patience { // as programs do: come again
				again.Store(true)
				g, first, err = w.studio.Create(t.Context(), r)
			}
			if err != nil {
				t.Error(err)
			}
			ids[i], created[i] = g.ID, first
		})
	}
	group.Wait()
	firsts := 0
	for i := range posts {
		if ids[i] != ids[0] {
			t.Fatalf("two generations: %s and %s", ids[0], ids[i])
		}
		if created[i] {
			firsts++
		}
	}
	if n := w.count("SELECT count(*) FROM generations"); n != 1 || firsts > 1 || firsts == 0 && !again.Load() {
		t.Errorf("%d rows, %d posts were told that they made it", n, firsts)
	}
	w.awaitStatus(ids[0], studio.Complete)
}

// A key of a program is bound to its body, a form's nonce only joins double posts of one body.
func TestKeyWithAnotherBody(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	ask := func(prompt string, nonce bool) (studio.Generation, bool, error) {
		r := request(prompt)
		sum := sha256.Sum256(r.Original)
		r.IdempotencyKey, r.BodyHash, r.FormNonce = "key", sum[:], nonce
		return w.studio.Create(t.Context(), r)
	}
	first, _, err := ask("one", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask("two", false); !errors.Is(err, studio.ErrKeyReused) {
		t.Errorf("Create() with another body = %v, want ErrKeyReused", err)
	}
	form, created, err := ask("one", true)
	if err != nil || !created || form.ID == first.ID {
		t.Errorf("a form's nonce met a program's key: created %t, %v", created, err)
	}
	again, created, err := ask("one", true)
	if err != nil || created || again.ID != form.ID {
		t.Errorf("double post of a form: %s, created %t, %v", again.ID, created, err)
	}
	if other, created, err := ask("two", true); err != nil || !created || other.ID == form.ID {
		t.Errorf("same form, other body: created %t, %v", created, err)
	}
}

// A full queue refuses, and says so.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.comfy.Kill()
	w.awaitServer(studio.ServerDown)
	s, err := studio.New(studio.Config{Pool: w.pool, Blobs: w.blobs, Logger: logger(t), MaxWaiting: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := s.Create(t.Context(), request("fits")); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Create(t.Context(), request("does not")); !errors.Is(err, studio.ErrQueueFull) {
		t.Errorf("Create() = %v, want ErrQueueFull", err)
	}
}

// The body is kept as it came, and the graph as it was sent.
func TestOriginalBytes(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := request("kept")
	r.Original = []byte("{ \"prompt\":\t\"kept\"}\r\n")
	g := w.create(r)
	var original []byte
	if err := w.pool.QueryRow(t.Context(), "SELECT request FROM generations WHERE id = $1", g.ID).Scan(&original); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(original, r.Original) {
		t.Errorf("stored %q, want %q", original, r.Original)
	}
}
