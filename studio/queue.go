package studio

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// place is where in the queue a generation stands.
type place struct {
	position int       // from 1; 0: it does not wait
	start    time.Time // when it is expected to begin; zero while unknown
	foretold time.Time // when that, and more, was
	aim      aim       // of the range of more, while nothing has begun
	more     amount    // until its end; of what has begun, from the end of its images at work; 0: not known
	held     bool      // by its owner
	paused   bool      // the whole queue is
	missing  string    // in words, what no server has; empty: one can run it
}

// The stages of a live generation, in the order of the list.
const (
	stageRunning   = iota // begun, if only with one of its images
	stageSubmitted        // inside a ComfyUI's queue
	stageWaiting
	stageHeld
)

func stage(g *Generation) int {
	best, begun := stageWaiting, false
	if g.HeldAt != nil {
		best = stageHeld
	}
	for i := range g.Images {
		switch g.Images[i].AttemptState {
		case attemptRunning, attemptFinalizing:
			return stageRunning
		case attemptSucceeded:
			begun = true
		case attemptSubmitting, attemptSubmitted:
			best = min(best, stageSubmitted)
		}
	}
	if begun && best != stageHeld {
		return stageRunning
	}
	return best
}

// waits reports whether the queue holds an image of g that may be picked.
func waits(g *Generation) bool {
	return g.HeldAt == nil && g.CancelRequestedAt == nil && pending(g) > 0
}

// pending is how many images of g wait in the queue.
func pending(g *Generation) (n int) {
	for i := range g.Images {
		if g.Images[i].Status == Pending {
			n++
		}
	}
	return n
}

// turn is when a generation that waits has its first image picked.
type turn struct {
	*record
	priority Priority // of the record: thousands are sorted by these
	rank     float64

	stage int
	own   int // images of its user and priority that are picked before
	user  int // its user's place in the round
	ahead int // images of everybody that are picked before
	round int // users that take turns with its own
}

// inOrder sorts the live generations as they will run: those that run first, oldest first, then
// those that wait inside a ComfyUI, then the queue as ImagePick takes from it, and at last what is
// held back. turns are those of the queue, and of what has begun and waits with its other images.
func inOrder(records map[uuid.UUID]*record, served map[uuid.UUID]time.Time) (live []*record, turns []turn) {
	live = make([]*record, 0, len(records))
	for _, r := range records {
		if !r.generation.Status.Ended() {
			live = append(live, r)
		}
	}
	turns = takeTurns(live, served)
	// What waits, and may be thousands, is in order already.
	var stages [stageHeld + 1][]*record
	for _, r := range live {
		if !waits(&r.generation) {
			at := stage(&r.generation)
			stages[at] = append(stages[at], r)
		}
	}
	for _, t := range turns {
		if t.stage != stageWaiting {
			stages[t.stage] = append(stages[t.stage], t.record)
		}
	}
	for _, list := range stages {
		slices.SortFunc(list, func(a, b *record) int {
			return cmp.Or(cmp.Compare(b.generation.Priority, a.generation.Priority), byRank(a, b))
		})
	}
	for _, t := range turns {
		if t.stage == stageWaiting {
			stages[stageWaiting] = append(stages[stageWaiting], t.record)
		}
	}
	return slices.Concat(stages[:]...), turns
}

// byRank is the order that a user gave to what is of one priority.
func byRank(a, b *record) int {
	return cmp.Or(cmp.Compare(a.generation.rank, b.generation.rank),
		bytes.Compare(a.generation.ID[:], b.generation.ID[:]))
}

// takeTurns puts what waits in the order in which ImagePick takes it: by priority, then one image
// of each user in turn, the least recently served first, and of each user by rank. served says when
// that was.
func takeTurns(live []*record, served map[uuid.UUID]time.Time) []turn {
	queue := make([]turn, 0, len(live))
	for _, r := range live {
		if waits(&r.generation) {
			g := &r.generation
			queue = append(queue, turn{record: r, priority: g.Priority, rank: g.rank, stage: stage(g)})
		}
	}
	slices.SortFunc(queue, func(a, b turn) int {
		switch {
		case a.priority != b.priority:
			return cmp.Compare(b.priority, a.priority)
		case a.rank != b.rank:
			return cmp.Compare(a.rank, b.rank)
		}
		return byRank(a.record, b.record)
	})
	round := newRound(served)
	ahead := 0
	for rest := queue; len(rest) > 0; {
		priority := rest[0].priority
		n := slices.IndexFunc(rest, func(t turn) bool { return t.priority != priority })
		if n < 0 {
			n = len(rest)
		}
		ahead = round.serve(rest[:n], ahead)
		rest = rest[n:]
	}
	return queue
}

// round is whose turn it is.
type round struct {
	served map[uuid.UUID]time.Time
	later  map[uuid.UUID]int // users whom a higher priority serves first, by when it is done with them
	done   int               // the last of these
}

func newRound(served map[uuid.UUID]time.Time) *round {
	return &round{served: served, later: make(map[uuid.UUID]int)}
}

// share is what one user has in one priority.
type share struct {
	user   uuid.UUID
	images int
	first  *record
	index  int // among the shares as they were met
}

// serve orders what is of one priority, sorted by rank, ahead images being picked before it. It
// returns that number with these images.
func (o *round) serve(queue []turn, ahead int) int {
	place := make(map[uuid.UUID]int)
	var shares []share
	for i := range queue {
		g := &queue[i].generation
		at, known := place[g.UserID]
		if !known {
			at = len(shares)
			place[g.UserID] = at
			shares = append(shares, share{user: g.UserID, first: queue[i].record, index: at})
		}
		queue[i].own, queue[i].user = shares[at].images, at
		shares[at].images += pending(g)
	}
	slices.SortFunc(shares, func(a, b share) int {
		return cmp.Or(cmp.Compare(o.later[a.user], o.later[b.user]),
			o.served[a.user].Compare(o.served[b.user]), byRank(a.first, b.first))
	})
	turns := make([]int, len(shares)) // by index
	for i, s := range shares {
		turns[s.index] = i
	}
	for i := range queue {
		queue[i].user, queue[i].round = turns[queue[i].user], len(shares)
	}
	takeRounds(queue, shares, ahead)
	// Who has more is served longer; of those who have the same, in the order of the round.
	slices.SortStableFunc(shares, func(a, b share) int { return cmp.Compare(a.images, b.images) })
	for _, s := range shares {
		o.done++
		ahead += s.images
		o.later[s.user] = o.done
	}
	return ahead
}

// takeRounds puts the turns in order and counts what is picked before each: in a round every user who
// has an image left has one picked, in the order of shares. picked is what went before them all.
func takeRounds(queue []turn, shares []share, picked int) {
	slices.SortFunc(queue, func(a, b turn) int {
		if a.own != b.own {
			return cmp.Compare(a.own, b.own)
		}
		return cmp.Compare(a.user, b.user)
	})
	left := make([]int, len(shares)) // the users who take part in the present round
	before := make([]int, len(shares))
	for user := range shares {
		left[user], before[user] = user, user
	}
	round := 0
	for i := range queue {
		t := &queue[i]
		if t.own > round {
			still := left[:0]
			for _, user := range left {
				picked += min(shares[user].images, t.own) - round
				if shares[user].images > t.own {
					before[user] = len(still)
					still = append(still, user)
				}
			}
			left, round = still, t.own
		}
		t.ahead = picked + before[t.user]
	}
}

// newestFirst sorts states by the age of their generations and keeps what the overview shows.
func newestFirst(list []*State) []*State {
	slices.SortFunc(list, func(a, b *State) int {
		return bytes.Compare(b.Generation.ID[:], a.Generation.ID[:])
	})
	return list[:min(len(list), recentPictures)]
}
