package studio

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"easel/comfy"
	"easel/db"
)

// The life of attempts under every order of events that a ComfyUI, a network and a dying Easel can
// bring about. What decides is the product's (decide, decideLate, decideUnanswered, spent,
// abandoned, missingVerdict, endings); ComfyUI, the network and the tables are models, a few lines each. The tables' guards themselves are
// tried against Postgres elsewhere.

// modelComfy is one ComfyUI and the way to it.
type modelComfy struct {
	away    bool                // does not answer
	pending []int               // attempts, in the order in which they will run
	running int                 // 0: none
	history map[int]comfy.State // what has ended
	held    map[int]time.Time   // POSTs that hang in between, and when they get through
	ran     map[int]int         // how often each was begun
	memory  map[int]bool        // failed for want of memory
	lease   int64               // the fence of who may write
	hold    *modelHold          // of the present owner
	stale   []*modelHold        // former owners, who do not know it yet
}

// modelHold is a supervisor's time with a server.
type modelHold struct {
	fence     int64
	followers map[int]*modelFollower
}

type modelFollower struct {
	life   life
	read   *comfy.Lookup // an answer that is on its way
	absent []time.Time   // when it was heard to be nowhere, in a row
}

// modelAttempt is a row of attempts; modelImage one of images, with its generation's cancellation.
type modelAttempt struct {
	image, server int
	state         string
	reason        string // of the loss or retry
	running       bool   // was seen running
	crashed       bool   // its server went down after that
	missing       bool
	created       time.Time
	posted        int // how often
	watch         time.Time
	late          bool // was seen waiting when nobody needed it any more
	adopted       bool
}

type modelImage struct {
	status  Status
	cancel  bool
	outputs int // of which attempt
	again   int // how often it was put back into the queue
}

type modelWorld struct {
	t        *rapid.T
	now      time.Time
	images   []modelImage
	attempts []modelAttempt // by id; 0 is none
	servers  []*modelComfy
}

func newModelWorld(t *rapid.T, images, servers int) *modelWorld {
	w := &modelWorld{
		t: t, now: time.Unix(1_700_000_000, 0), attempts: make([]modelAttempt, 1),
		images: make([]modelImage, rapid.IntRange(1, images).Draw(t, "images")),
	}
	for i := range w.images {
		w.images[i].status = Pending
	}
	for range rapid.IntRange(1, servers).Draw(t, "servers") {
		c := &modelComfy{
			history: map[int]comfy.State{}, held: map[int]time.Time{}, ran: map[int]int{}, memory: map[int]bool{},
		}
		w.servers = append(w.servers, c)
	}
	for s := range w.servers {
		w.takeOver(s)
	}
	return w
}

func isLive(state string) bool {
	return slices.Contains([]string{attemptSubmitting, attemptSubmitted, attemptRunning, attemptFinalizing}, state)
}

// takeOver gives a server to another owner, as a take-over of the lease does: AttemptsInside.
func (w *modelWorld) takeOver(s int) {
	c := w.servers[s]
	if c.hold != nil {
		c.stale = append(c.stale, c.hold)
	}
	c.lease++
	c.hold = &modelHold{fence: c.lease, followers: map[int]*modelFollower{}}
	for id := 1; id < len(w.attempts); id++ {
		if a := &w.attempts[id]; a.server == s && isLive(a.state) && a.state != attemptFinalizing {
			l := w.past(a.image)
			l.State, l.Seen, l.Posted = a.state, a.state != attemptSubmitting, a.created
			c.hold.followers[id] = &modelFollower{life: l}
		}
	}
}

// past counts what became of the earlier attempts of an image: ImagePick and AttemptsInside.
func (w *modelWorld) past(image int) (l life) {
	for id := 1; id < len(w.attempts); id++ {
		switch a := &w.attempts[id]; {
		case a.image != image:
		case a.state == attemptLost && (a.reason == lossAbsent || a.reason == lossUnreachable):
			l.Losses++
			if a.running {
				l.Crashes++
			}
		case a.reason == retryMemory:
			l.OutOfMemory++
		}
	}
	return l
}

// pick takes an image for a server, and posts its prompt; the network chooses what becomes of that.
func (w *modelWorld) pick(s int, fate string, hangs time.Duration) {
	c := w.servers[s]
	image := slices.IndexFunc(w.images, func(i modelImage) bool { return i.status == Pending && !i.cancel })
	if image < 0 || len(c.hold.followers) >= 2 || c.away {
		return
	}
	past := w.past(image)
	if v := spent(past); v.Do != wait {
		_, w.images[image].status = endings(v.Do)
		return
	}
	crashes := 0
	for _, a := range w.attempts[1:] {
		if a.image == image && a.crashed {
			crashes++
		}
	}
	if crashes >= maxCrashes {
		w.t.Fatalf("P08: image %d is sent after %d crashes", image, crashes)
	}
	id := len(w.attempts)
	w.attempts = append(w.attempts, modelAttempt{image: image, server: s, state: attemptSubmitting, created: w.now})
	w.images[image].status = Generating
	f := &modelFollower{life: past}
	f.life.State, f.life.Posted = attemptSubmitting, w.now
	c.hold.followers[id] = f
	if fate == "killed before" {
		w.takeOver(s)
		return
	}
	w.attempts[id].posted++
	switch fate {
	case "accepted":
		c.pending = append(c.pending, id)
		f.life.Seen, f.life.State = true, attemptSubmitted
		w.act(s, c.hold, id, verdict{Do: noteSubmitted})
	case "refused":
		w.act(s, c.hold, id, verdict{Do: endLost, Reason: lossNotSent})
	case "bad gateway": // queued, and nobody is told
		c.pending = append(c.pending, id)
	case "hangs":
		c.held[id] = w.now.Add(hangs)
	case "killed after":
		c.pending = append(c.pending, id)
		w.takeOver(s)
	} // else it was lost on the way
}

// lookup is what a server says of a prompt.
func (c *modelComfy) lookup(id int) comfy.Lookup {
	switch end, ok := c.history[id]; {
	case c.running == id:
		return comfy.Lookup{State: comfy.Running}
	case slices.Contains(c.pending, id):
		return comfy.Lookup{State: comfy.Waiting}
	case ok && end == comfy.Succeeded:
		return comfy.Lookup{State: end, Outputs: someFile()}
	case ok && end == comfy.Failed:
		e := &comfy.ExecutionError{NodeType: "KSampler", ExceptionType: "RuntimeError"}
		if c.memory[id] {
			e.ExceptionType = "torch.OutOfMemoryError"
		}
		return comfy.Lookup{State: end, Error: e}
	case ok:
		return comfy.Lookup{State: end}
	}
	return comfy.Lookup{}
}

// cancel is a request to take one prompt out; an interrupt may be lost.
func (w *modelWorld) cancel(s, id int, heard bool) {
	a := &w.attempts[id]
	if !w.images[a.image].cancel && !a.watch.After(w.now) {
		w.t.Fatalf("P14: prompt %d is stopped, and nobody asked", id)
	}
	c := w.servers[s]
	switch {
	case slices.Contains(c.pending, id):
		c.pending = slices.DeleteFunc(c.pending, func(other int) bool { return other == id })
	case c.running == id && heard:
		c.running, c.history[id] = 0, comfy.Interrupted
	}
}

// read asks a server about a prompt of a hold's; the answer is acted upon by hear, perhaps much later.
func (w *modelWorld) read(s int, h *modelHold, id int, heard bool) {
	c, f := w.servers[s], h.followers[id]
	if f == nil || c.away || f.read != nil {
		return
	}
	a := &w.attempts[id]
	if f.life.Cancel = w.images[a.image].cancel; f.life.Cancel && isLive(a.state) {
		w.cancel(s, id, heard)
	}
	l := c.lookup(id)
	f.read = &l
}

func (w *modelWorld) hear(s int, h *modelHold, id int) {
	f := h.followers[id]
	if f == nil || f.read == nil {
		return
	}
	if !isLive(w.attempts[id].state) { // superseded
		delete(h.followers, id)
		return
	}
	if f.absent = append(f.absent, w.now); f.read.State != comfy.Absent {
		f.absent = nil
	}
	var v verdict
	f.life, v = decide(f.life, *f.read, w.now, protocol)
	f.read = nil
	w.act(s, h, id, v)
}

// act is a guarded statement: AttemptSubmitted, AttemptRunning, AttemptFinalizing, AttemptEnd.
func (w *modelWorld) act(s int, h *modelHold, id int, v verdict) {
	a := &w.attempts[id]
	if v.Do == wait {
		return
	}
	if h.fence != w.servers[s].lease || !isLive(a.state) || a.state == attemptFinalizing {
		delete(h.followers, id) // no row: not ours to change
		return
	}
	switch v.Do {
	case noteSubmitted:
		a.state = attemptSubmitted
		return
	case noteRunning:
		a.state, a.running = attemptRunning, true
		return
	case fetch:
		a.state, a.running = attemptFinalizing, true
		delete(h.followers, id)
		return
	}
	if v.Reason == lossAbsent && w.now.Sub(a.created) < protocol.Settle {
		w.t.Fatalf("P07: prompt %d was given up %s after its POST", id, w.now.Sub(a.created))
	}
	if absent := h.followers[id].absent; v.Reason == lossAbsent &&
		(len(absent) < 2 || absent[len(absent)-1].Sub(absent[0]) < protocol.AbsentGap) {
		w.t.Fatalf("P07: prompt %d was given up after these readings: %v", id, absent)
	}
	state, image := endings(v.Do)
	w.end(id, state, image, v)
	delete(h.followers, id)
	if past := w.past(a.image); v.Do == endLost && v.Reason != lossNotSent && (past.Crashes >= maxCrashes || past.Losses >= maxLosses) {
		w.t.Fatalf("P08: image %d goes on after %d losses, %d of them crashes", a.image, past.Losses, past.Crashes)
	}
}

// unanswered is a follower whose server has been away for Timing.Abandon.
func (w *modelWorld) unanswered(s int, h *modelHold, id int) {
	f := h.followers[id]
	if f == nil || !w.servers[s].away {
		return
	}
	f.life.Cancel = w.images[w.attempts[id].image].cancel
	w.act(s, h, id, decideUnanswered(f.life, true))
}

// switchOff is abandonServer, and somebody who switches the server on again.
func (w *modelWorld) switchOff(s int) {
	c := w.servers[s]
	for id := 1; id < len(w.attempts); id++ {
		a := &w.attempts[id]
		if a.server != s || !isLive(a.state) || a.state == attemptFinalizing {
			continue
		}
		var said comfy.Lookup
		if !c.away {
			said = c.lookup(id)
		}
		reason, _ := abandoned(a.state, !c.away, said)
		w.end(id, attemptLost, Pending, verdict{Reason: reason, Watch: true})
		if !c.away {
			c.pending = slices.DeleteFunc(c.pending, func(other int) bool { return other == id })
		}
	}
	w.takeOver(s)
}

func (w *modelWorld) end(id int, state string, image Status, v verdict) {
	a := &w.attempts[id]
	a.state, a.reason, a.missing = state, v.Reason, v.Reason == lossMissing
	if v.Watch {
		a.watch = w.now.Add(protocol.Watch)
	}
	if image == Pending && w.images[a.image].cancel {
		image = Cancelled
	}
	w.images[a.image].status = image
	if image == Pending {
		w.images[a.image].again++
	}
}

// late is a round of watchLate.
func (w *modelWorld) late(s int, heard bool) {
	c := w.servers[s]
	if c.away {
		return
	}
	for id := 1; id < len(w.attempts); id++ {
		a := &w.attempts[id]
		if a.server != s || !a.watch.After(w.now) {
			continue
		}
		image := &w.images[a.image]
		a.late = a.late || slices.Contains(c.pending, id)
		switch decideLate(a.state, !image.status.Ended(), c.lookup(id)) {
		case lateCancel:
			w.cancel(s, id, heard)
		case lateOver:
			a.watch = time.Time{}
		case lateAdopt:
			live := w.live(a.image)
			if live != 0 && w.attempts[live].state == attemptFinalizing {
				continue
			}
			if live != 0 { // AttemptSupersede
				w.attempts[live].state, w.attempts[live].watch = attemptCancelled, w.now.Add(protocol.Watch)
			}
			a.state, a.adopted, a.watch, a.reason = attemptFinalizing, true, time.Time{}, ""
			image.status = Generating
		}
	}
}

func (w *modelWorld) live(image int) (id int) {
	for i := 1; i < len(w.attempts); i++ {
		if a := &w.attempts[i]; a.image == image && isLive(a.state) {
			if id != 0 {
				w.t.Fatalf("P04: image %d has two live attempts, %d and %d", image, id, i)
			}
			id = i
		}
	}
	return id
}

// finalize is a job: files is false when they are gone.
func (w *modelWorld) finalize(files bool) {
	for id := 1; id < len(w.attempts); id++ {
		a := &w.attempts[id]
		if a.state != attemptFinalizing {
			continue
		}
		if files {
			a.state = attemptSucceeded
			w.images[a.image].status, w.images[a.image].outputs = Complete, id
			return
		}
		row := db.AttemptForJobRow{}
		for other := 1; other < len(w.attempts); other++ {
			if w.attempts[other].image == a.image && w.attempts[other].missing {
				row.MissingBefore++
			}
		}
		v := missingVerdict(row, errors.New("gone"))
		state, image := endings(v.Do)
		w.end(id, state, image, v)
		return
	}
}

// work is what a ComfyUI does by itself.
func (w *modelWorld) work(s int, what string) {
	c := w.servers[s]
	for id, at := range c.held {
		if !at.After(w.now) {
			c.pending = append(c.pending, id)
			delete(c.held, id)
		}
	}
	end := func(state comfy.State) {
		if c.running != 0 {
			c.history[c.running], c.running = state, 0
		}
	}
	switch what {
	case "begin":
		if c.running == 0 && len(c.pending) > 0 {
			c.running, c.pending = c.pending[0], c.pending[1:]
			c.ran[c.running]++
			if w.attempts[c.running].late {
				w.t.Fatalf("prompt %d turned up late, was seen, and runs for nothing", c.running)
			}
		}
	case "succeed":
		end(comfy.Succeeded)
	case "fail":
		end(comfy.Failed)
	case "out of memory":
		c.memory[c.running] = true
		end(comfy.Failed)
	case "stopped by somebody":
		end(comfy.Interrupted)
	case "restart":
		if a := &w.attempts[c.running]; a.running && isLive(a.state) {
			a.crashed = true
		}
		c.running, c.pending, c.history = 0, nil, map[int]comfy.State{}
	case "queue cleared":
		c.pending = nil
	case "history evicted":
		c.history = map[int]comfy.State{}
	}
}

// check holds the world to what must be true at every moment; before is the world a step ago.
func (w *modelWorld) check(images []modelImage, attempts []modelAttempt) {
	for i := range images {
		if was := images[i].status; was.Ended() && w.images[i].status != was {
			w.t.Fatalf("P03: image %d was %s and is %s", i, was, w.images[i].status)
		}
	}
	for i, image := range w.images {
		if live := w.live(i); (live != 0) != (image.status == Generating) {
			w.t.Fatalf("image %d is %s, its live attempt %d", i, image.status, live)
		}
		if (image.status == Complete) != (image.outputs != 0) {
			w.t.Fatalf("P06: image %d is %s with outputs of %d", i, image.status, image.outputs)
		}
		memory, missing, sent := 0, 0, 0
		for id := 1; id < len(w.attempts); id++ {
			a := &w.attempts[id]
			if a.image != i {
				continue
			}
			sent += a.posted
			if a.reason == retryMemory {
				memory++
			}
			if a.missing {
				missing++
			}
		}
		if memory >= maxOutOfMemory {
			w.t.Fatalf("image %d was sent again %d times for want of memory", i, memory)
		}
		if missing > 1 {
			w.t.Fatalf("image %d was made again %d times because its files were gone", i, missing)
		}
		// It is sent once, and once more each time that it was put back. An attempt that was lost, adopted and
		// lost again, with its files, has put it back twice.
		if sent > 1+image.again {
			w.t.Fatalf("P05: image %d was sent %d times, and put back %d times", i, sent, image.again)
		}
	}
	for id := 1; id < len(attempts); id++ {
		was, is := attempts[id].state, w.attempts[id].state
		if !isLive(was) && was != is && !(was == attemptLost && w.attempts[id].adopted) {
			w.t.Fatalf("P03: attempt %d was %s and is %s", id, was, is)
		}
	}
	for s, c := range w.servers {
		inside := 0
		for id := 1; id < len(w.attempts); id++ {
			if a := &w.attempts[id]; a.posted > 1 || c.ran[id] > 1 {
				w.t.Fatalf("P05: prompt %d was posted %d times and ran %d times", id, a.posted, c.ran[id])
			} else if a.server == s && isLive(a.state) && a.state != attemptFinalizing {
				inside++
			}
		}
		if inside > 2 {
			w.t.Fatalf("P13: %d prompts are inside server %d", inside, s)
		}
	}
}

// modelTheme is what a run is about. Left to chance alone a limit that takes three crashes of the same prompt
// to reach is reached once in thousands of runs.
type modelTheme struct {
	images, servers int
	fates, faults   []string
	often           []string
}

// Each action stands there as often as it happens: time passes and followers look more often than anything breaks.
var modelThemes = map[string]modelTheme{
	"anything": {
		4, 2,
		[]string{"accepted", "accepted", "refused", "bad gateway", "hangs", "hangs", "lost", "killed before", "killed after"},
		[]string{"fail", "out of memory", "stopped by somebody", "restart", "restart", "queue cleared", "history evicted"},
		strings.Fields(`pass pass pass pass pick pick look look look look look look hear hear late finalize begin begin begin
			succeed fault stall take-over cancel switch-off unanswered`),
	},
	"crashes": {
		1, 1,
		[]string{"accepted"},
		[]string{"restart"},
		strings.Fields("pass pass pass pass pick pick look look look look look begin begin begin fault take-over"),
	},
	"crashes of servers that do not come back": {
		1, 2,
		[]string{"accepted"},
		[]string{"restart"},
		strings.Fields("pass pass pass pick pick look look look look begin begin begin fault stall switch-off unanswered"),
	},
	"losses": {
		2, 1,
		[]string{"accepted", "lost", "killed before"},
		[]string{"queue cleared"},
		strings.Fields("pass pass pass pass pick pick look look look look look hear fault take-over"),
	},
	"memory": {
		2, 1,
		[]string{"accepted"},
		[]string{"out of memory"},
		strings.Fields("pass pick pick look look look begin begin fault"),
	},
	"late": {
		2, 1,
		[]string{"hangs", "hangs", "accepted"},
		[]string{"fail", "stopped by somebody"},
		strings.Fields("pass pass pass pass pick pick look look look look late finalize finalize begin begin begin succeed succeed fault"),
	},
}

// The pure parts together against a world that loses, repeats and restarts: P03, P04, P05, P06, P07, P08, P13 and
// P14 hold at every step. Any one of the limits taken out of the product is found by at least nine of ten runs of it.
func TestModel(t *testing.T) {
	t.Parallel()
	for name, theme := range modelThemes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range modelChecks {
				rapid.Check(t, func(t *rapid.T) { modelRun(t, theme) })
			}
		})
	}
}

// modelChecks times the hundred runs of a Check.
const modelChecks = 4

func modelRun(t *rapid.T, theme modelTheme) {
	w := newModelWorld(t, theme.images, theme.servers)
	server := func() int { return rapid.IntRange(0, len(w.servers)-1).Draw(t, "server") }
	// Of the present owner or, now and then, of one that has lost its lease and not noticed.
	follower := func(s int) (*modelHold, int) {
		h := w.servers[s].hold
		if stale := w.servers[s].stale; len(stale) > 0 && rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
			h = stale[len(stale)-1]
		}
		ids := make([]int, 0, len(h.followers))
		for id := range h.followers {
			ids = append(ids, id)
		}
		if len(ids) == 0 {
			return h, 0
		}
		slices.Sort(ids)
		return h, rapid.SampledFrom(ids).Draw(t, "prompt")
	}
	actions := map[string]func(){
		"pass": func() {
			w.now = w.now.Add(time.Duration(rapid.IntRange(50, 20_000).Draw(t, "ms")) * time.Millisecond)
		},
		"pick": func() {
			fate := rapid.SampledFrom(theme.fates).Draw(t, "fate")
			w.pick(server(), fate, time.Duration(rapid.IntRange(1, 90).Draw(t, "hangs"))*time.Second)
		},
		"look": func() {
			s := server()
			h, id := follower(s)
			w.read(s, h, id, rapid.Bool().Draw(t, "heard"))
			if rapid.IntRange(0, 3).Draw(t, "slow") > 0 {
				w.hear(s, h, id)
			}
		},
		"hear": func() {
			s := server()
			h, id := follower(s)
			w.hear(s, h, id)
		},
		"late":     func() { w.late(server(), rapid.Bool().Draw(t, "heard")) },
		"finalize": func() { w.finalize(rapid.IntRange(0, 3).Draw(t, "files") > 0) },
		"begin":    func() { w.work(server(), "begin") },
		"succeed":  func() { w.work(server(), "succeed") },
		"fault": func() {
			w.work(server(), rapid.SampledFrom(theme.faults).Draw(t, "fault"))
		},
		"stall":      func() { c := w.servers[server()]; c.away = !c.away },
		"take-over":  func() { w.takeOver(server()) },
		"switch-off": func() { w.switchOff(server()) },
		"unanswered": func() {
			s := server()
			h, id := follower(s)
			w.unanswered(s, h, id)
		},
		"cancel": func() {
			image := &w.images[rapid.IntRange(0, len(w.images)-1).Draw(t, "image")]
			image.cancel = true
			if image.status == Pending {
				image.status = Cancelled
			}
		},
	}
	for range rapid.IntRange(50, 300).Draw(t, "steps") {
		w.step(actions[rapid.SampledFrom(theme.often).Draw(t, "action")])
	}
	w.calm()
}

// step does one thing and checks what must be true at every moment.
func (w *modelWorld) step(act func()) {
	images, attempts := slices.Clone(w.images), slices.Clone(w.attempts)
	act()
	w.check(images, attempts)
}

// calm is I6: with the faults over, every image ends within a bound.
func (w *modelWorld) calm() {
	for range 400 {
		w.step(func() {
			w.now = w.now.Add(3 * time.Second)
			for s, c := range w.servers {
				c.away = false
				w.work(s, "begin")
				w.work(s, "succeed")
				for id := 1; id < len(w.attempts); id++ {
					w.read(s, c.hold, id, true)
					w.hear(s, c.hold, id)
				}
				w.late(s, true)
				w.pick(s, "accepted", 0)
			}
			w.finalize(true)
		})
		if !slices.ContainsFunc(w.images, func(i modelImage) bool { return !i.status.Ended() }) {
			return
		}
	}
	w.t.Fatalf("I6: not all have ended: %+v\n%+v", w.images, w.attempts[1:])
}
