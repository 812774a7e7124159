package studio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/db"
)

// Usual is what the last runs like a generation's took: with the same workflow, model, size and steps.
type Usual struct {
	Runs  int                  // that it was learned from; 0: nothing is known
	Took  time.Duration        // the median, from ComfyUI's start until the files were stored
	Nodes map[string]UsualNode // by id
}

// UsualNode is what a node took in them.
type UsualNode struct {
	Took   time.Duration // the median of the runs in which it ran; 0: it never did
	Cached bool          // in more than half of them its result was there before
}

// Succeeded reports whether the attempt gave its image.
func (t *Timeline) Succeeded() bool { return t.State == attemptSucceeded }

const (
	usualRuns  = 20 // that are looked at, at most
	usualLeast = 3  // fewer say nothing of what is usual
)

// Usual tells what is usual for a generation, by the runs before it.
func (s *Studio) Usual(ctx context.Context, generation uuid.UUID) (Usual, error) {
	rows, err := s.queries.TimelinesLike(ctx, db.TimelinesLikeParams{ID: generation, Count: usualRuns})
	if err != nil {
		return Usual{}, unavailable(fmt.Errorf("read runs of the same kind: %w", err))
	}
	var runs []pastRun
	for _, row := range rows {
		var kept storedTimeline
		if row.FinishedAt == nil || json.Unmarshal(row.Timeline, &kept) != nil || !kept.Whole {
			continue // of a part of a run nothing can be said
		}
		runs = append(runs, pastRun{took: row.FinishedAt.Sub(kept.StartedAt), nodes: kept.Nodes})
	}
	return usualOf(runs), nil
}

// pastRun is one run that went well.
type pastRun struct {
	took  time.Duration
	nodes []storedNode
}

// usualOf learns from runs. The zero value says that there were too few.
func usualOf(runs []pastRun) Usual {
	if len(runs) < usualLeast {
		return Usual{}
	}
	u := Usual{Runs: len(runs), Nodes: make(map[string]UsualNode)}
	var took []time.Duration
	ran := make(map[string][]time.Duration)
	cached := make(map[string]int)
	for _, run := range runs {
		took = append(took, run.took)
		for _, n := range run.nodes {
			if n.Cached {
				cached[n.Node]++
			} else {
				ran[n.Node] = append(ran[n.Node], (n.End - n.Start).duration())
			}
		}
	}
	u.Took = median(took)
	for node, times := range ran {
		u.Nodes[node] = UsualNode{Took: median(times)}
	}
	for node, times := range cached {
		n := u.Nodes[node]
		n.Cached = 2*times > len(runs)
		u.Nodes[node] = n
	}
	return u
}

// median is the middle of times, the lower one of two; it sorts them.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return max(times[(len(times)-1)/2], 0)
}
