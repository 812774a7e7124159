package studio

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// inOrder sorts the live generations as they will run: those that run first, oldest first, then
// those that wait inside a ComfyUI, then the queue as ImagePick takes from it: by priority, in
// turn over users, by age.
func inOrder(records map[uuid.UUID]*record) []*record {
	live := make([]*record, 0, len(records))
	for _, r := range records {
		if !r.generation.Status.Ended() {
			live = append(live, r)
		}
	}
	slices.SortFunc(live, func(a, b *record) int {
		return cmp.Or(
			cmp.Compare(stage(a), stage(b)),
			cmp.Compare(b.generation.priority, a.generation.priority),
			bytes.Compare(a.generation.ID[:], b.generation.ID[:]),
		)
	})
	waiting := slices.IndexFunc(live, func(r *record) bool { return stage(r) == stageWaiting })
	if waiting >= 0 {
		takeTurns(live[waiting:])
	}
	return live
}

// The stages of a live generation, in the order of the list.
const (
	stageRunning = iota
	stageSubmitted
	stageWaiting
)

func stage(r *record) int {
	best := stageWaiting
	for i := range r.generation.Images {
		switch r.generation.Images[i].AttemptState {
		case attemptRunning, attemptFinalizing, attemptSucceeded:
			return stageRunning // one image done counts: the generation is under way
		case attemptSubmitting, attemptSubmitted:
			best = stageSubmitted
		}
	}
	return best
}

// takeTurns reorders a queue, sorted by priority and age, so that within one priority each user
// has one before anybody has two.
func takeTurns(queue []*record) {
	type key struct {
		priority int32
		user     uuid.UUID
	}
	turn := make(map[key]int)
	turns := make(map[*record]int, len(queue))
	for _, r := range queue {
		k := key{r.generation.priority, r.generation.UserID}
		turns[r] = turn[k]
		turn[k]++
	}
	slices.SortStableFunc(queue, func(a, b *record) int {
		return cmp.Or(
			cmp.Compare(b.generation.priority, a.generation.priority),
			cmp.Compare(turns[a], turns[b]),
		)
	})
}

// positions numbers those that wait, from 1; who runs has 0.
func positions(live []*record) []int {
	list := make([]int, len(live))
	next := 1
	for i, r := range live {
		if stage(r) != stageRunning {
			list[i] = next
			next++
		}
	}
	return list
}

// newestFirst sorts states by the age of their generations and keeps what the overview shows.
func newestFirst(list []*State) []*State {
	slices.SortFunc(list, func(a, b *State) int {
		return bytes.Compare(b.Generation.ID[:], a.Generation.ID[:])
	})
	return list[:min(len(list), recentPictures)]
}

// pace is what is learned about how long things take, to foretell the rest.
type pace struct {
	image  time.Duration // from a prompt's start to its stored files, smoothed; 0: none seen yet
	finish time.Duration // from its last sampler step on
}

// learn takes in a finished image; a zero time is one that was not seen.
func (p pace) learn(image, finish time.Duration) pace {
	return pace{image: smooth(p.image, image), finish: smooth(p.finish, finish)}
}

// finishing foretells what follows the last sampler step. Before the first image was seen it is the
// time of three steps: decoding takes about two of them, storing about one.
func (p pace) finishing(step time.Duration) time.Duration {
	if p.finish > 0 {
		return p.finish
	}
	return 3 * step
}

// smooth follows what comes with a third of each difference: quick to notice another workflow,
// slow to believe one slow run.
func smooth(old, seen time.Duration) time.Duration {
	switch {
	case seen <= 0:
		return old
	case old == 0:
		return seen
	}
	return old + (seen-old)/3
}
