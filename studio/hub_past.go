package studio

import (
	"math"

	"github.com/google/uuid"
)

// past remembers the last revisions of generations that have left memory, so that a reading which was under
// way, or a bell that comes late, does not bring them back. It holds as many as could leave within the time that a
// reading takes, and forgets the oldest.
type past struct {
	revs map[uuid.UUID]int64
	list []uuid.UUID // a ring, in the order in which they left
	next int
}

const (
	mostPast = 10_000
	deleted  = math.MaxInt64 // the revision of what does not exist any more
)

func (p *past) add(id uuid.UUID, rev int64) {
	if old, ok := p.revs[id]; ok {
		p.revs[id] = max(old, rev)
		return
	}
	if p.revs == nil {
		p.revs = make(map[uuid.UUID]int64)
	}
	p.revs[id] = rev
	if len(p.list) < mostPast {
		p.list = append(p.list, id)
		return
	}
	delete(p.revs, p.list[p.next])
	p.list[p.next] = id
	p.next = (p.next + 1) % mostPast
}

// knows reports whether a generation had at least this revision when it left.
func (p *past) knows(id uuid.UUID, rev int64) bool {
	last, ok := p.revs[id]
	return ok && last >= rev
}
