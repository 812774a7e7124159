package studio_test

import (
	"testing"

	"easel/studio"
)

// The schema itself refuses what must never be, whoever writes: another end (P03), two live attempts (P04).
func TestSchemaHolds(t *testing.T) {
	t.Parallel()
	w := open(t)
	g := w.create(request("final"))
	w.awaitStatus(g.ID, studio.Complete)
	for _, test := range []struct{ name, sql string }{
		{"an ended generation changes", "UPDATE generations SET status = 'generating', images_left = 1, images_complete = 0, finished_at = NULL"},
		{"an ended generation fails", "UPDATE generations SET status = 'failed', images_complete = 0"},
		{"an ended image changes", "UPDATE images SET status = 'failed'"},
		{"an ended image runs again", "UPDATE images SET status = 'pending', finished_at = NULL"},
		{"an ended attempt changes", "UPDATE attempts SET state = 'cancelled'"},
		{"an end without a time", "UPDATE generations SET finished_at = NULL"},
		{"complete with an image left", "UPDATE generations SET images_left = 1"},
		{"a seed beyond 2^64-1", "UPDATE images SET seed = 18446744073709551616"},
		{"a negative seed", "UPDATE images SET seed = -1"},
		{"two live attempts of an image", `INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, graph)
			SELECT gen_random_uuid(), generation_id, image_index, 1 + n, server_id, 1, '' FROM attempts, generate_series(1, 2) n`},
		{"a loss without a reason", "UPDATE attempts SET state = 'lost'"},
		{"an output without a hash", "UPDATE outputs SET sha256 = ''"},
		{"a prompt that is too long", "UPDATE generations SET prompt = repeat('x', 10001)"},
	} {
		if _, err := w.pool.Exec(t.Context(), test.sql); err == nil {
			t.Errorf("%s: the database took it", test.name)
		}
	}
	if got := w.stored(g.ID); got.Status != studio.Complete {
		t.Errorf("status = %s after all that", got.Status)
	}
}
