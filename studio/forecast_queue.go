package studio

import (
	"cmp"
	"slices"

	"github.com/google/uuid"
)

// mostFollowed bounds how many images of the queue are given to servers one by one; those that follow come at the
// pace of these.
const mostFollowed = 2000

// slot is one image of the queue.
type slot struct {
	turn      *turn
	at        int    // images that are picked before it, if none is overtaken
	fits      []bool // by server, whether it can run it
	taken     bool
	overtaken int // in this forecast
}

// line is the queue as the servers will take from it.
type line struct {
	*forecast
	slots []slot
	looks []look // by server
	fit   map[*demand][]bool
}

// look is how far down the queue a server has looked: what lies before is taken, or it cannot run it.
type look struct {
	from int
	done bool // there is nothing in it for this server any more
}

// queue gives the images that wait to the servers: one that is free takes the next that it can run, or, as preferred
// does, one that comes soon after and for which it has the models.
func (f *forecast) queue(turns []turn) {
	l := line{forecast: f, fit: make(map[*demand][]bool), looks: make([]look, len(f.servers))}
	l.slots = make([]slot, 0, min(len(turns), mostFollowed))
	for i := range turns {
		t := &turns[i]
		for n := range pending(&t.generation) {
			at := t.ahead + n*t.round
			if at >= mostFollowed {
				break
			}
			l.slots = append(l.slots, slot{turn: t, at: at, fits: l.fits(t.demand)})
		}
	}
	slices.SortStableFunc(l.slots, func(a, b slot) int { return cmp.Compare(a.at, b.at) })
	sum, given := amount{}, 0
	for server := l.soonest(); server >= 0; server = l.soonest() {
		s := l.pick(server)
		if s == nil {
			l.looks[server].done = true
			continue
		}
		took, known := f.take(server, s.turn.record)
		if !known {
			return // nothing was learned yet
		}
		sum, given = sum.plus(took), given+1
		next := &f.servers[server]
		begins := next.free
		next.free = begins.plus(took)
		f.note(s.turn.record, begins, next.free)
	}
	if given > 0 {
		f.beyond(turns, amount{sum.mean / float64(given), sum.variance / float64(given)}, l.fits)
	}
}

// fits says which of the servers can run what needs this.
func (l *line) fits(d *demand) []bool {
	if fits, asked := l.fit[d]; asked {
		return fits
	}
	fits := make([]bool, len(l.servers))
	for i := range l.servers {
		fits[i] = l.hub.fits(l.servers[i].id, d)
	}
	l.fit[d] = fits
	return fits
}

// soonest is the server that is free first, of those for which there is something; below 0: none is left.
func (l *line) soonest() int {
	first := -1
	for i := range l.servers {
		if !l.looks[i].done && (first < 0 || l.servers[i].free.mean < l.servers[first].free.mean) {
			first = i
		}
	}
	return first
}

// farthest is how many images of the queue a server looks at for one for which it has the models.
const farthest = 4 * lookAhead

// pick takes the image that a server runs next out of the queue; nil: it can run none.
func (l *line) pick(server int) *slot {
	p := &l.looks[server]
	for p.from < len(l.slots) && (l.slots[p.from].taken || !l.slots[p.from].fits[server]) {
		p.from++
	}
	if p.from == len(l.slots) {
		return nil
	}
	head := &l.slots[p.from]
	chosen := head
	loaded := l.servers[server].loaded
	if head.overtaken < maxOvertaken && !subset(head.turn.demand.models, loaded) {
		seen := 0
		for i := p.from; i < min(p.from+farthest, len(l.slots)) && seen < lookAhead; i++ {
			s := &l.slots[i]
			if s.taken || !s.fits[server] {
				continue
			}
			seen++
			if g := &s.turn.generation; g.UserID == head.turn.generation.UserID && s.turn.priority == head.turn.priority &&
				len(s.turn.demand.models) > 0 && subset(s.turn.demand.models, loaded) {
				chosen = s
				head.overtaken++
				break
			}
		}
	}
	chosen.taken = true
	return chosen
}

// beyond foretells what is not followed one by one, at the pace of what is.
func (f *forecast) beyond(turns []turn, pace amount, fits func(*demand) []bool) {
	level := f.servers[0].free
	for i := range f.servers {
		if f.servers[i].free.mean < level.mean {
			level = f.servers[i].free
		}
	}
	after := func(at int) amount {
		rounds := float64(max(at-mostFollowed, 0)) / float64(len(f.servers))
		return level.plus(amount{pace.mean * rounds, pace.variance * rounds})
	}
	for i := range turns {
		t := &turns[i]
		n := pending(&t.generation)
		if last := t.ahead + (n-1)*t.round; last >= mostFollowed && slices.Contains(fits(t.demand), true) {
			f.note(t.record, after(t.ahead), after(last).plus(pace))
		}
	}
}

// take is how long a server works at an image of r, which it begins with the models that it then has.
func (f *forecast) take(server int, r *record) (amount, bool) {
	s := &f.servers[server]
	asked := asking{r.kind.on(s.id), !subset(r.demand.models, s.loaded)}
	if len(r.demand.models) > 0 {
		s.loaded = r.demand.models
	}
	took, known := f.typical[asked]
	if !known {
		took, _ = f.hub.lore.typical(asked.kind, asked.cold)
		f.typical[asked] = took
	}
	return took, took.mean > 0
}

// asking is what is asked of the lore about an image that waits.
type asking struct {
	kind
	cold bool // its models have to be read
}

// fits reports whether a server can run something, as far as is known.
func (f *forms) fits(server uuid.UUID, d *demand) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fitting{server, d.key}
	fits, ok := f.fit[key]
	if !ok {
		fits = len(lacking(d.needs, f.infos[server])) == 0
		if len(f.fit) >= maxSaid {
			clear(f.fit)
		}
		f.fit[key] = fits
	}
	return fits
}

// fitting is a server and the needs of something.
type fitting struct {
	server uuid.UUID
	needs  string
}
