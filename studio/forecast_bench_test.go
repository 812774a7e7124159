package studio

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
)

// noisyServer is a ComfyUI in a model of many: one prompt at a time, at a pace of its own, reading a model whenever
// another one is asked for.
type noisyServer struct {
	id     uuid.UUID
	pace   float64 // of its steps, against the others
	model  string
	record *record // at work; nil: none
	left   []said  // what it will say of it, at times of the model's clock
	state  comfy.Progress
	plan   comfy.Plan
	said   Calibration // the ends that were foretold of it
}

// Snapshot is part of source.
func (s *noisyServer) Snapshot(string) (comfy.Progress, bool) { return s.state, true }

// Forget is part of source.
func (*noisyServer) Forget(string) {}

// crowd is a model of an installation on a clock of its own: noisy servers, and an Easel that foretells.
type crowd struct {
	hub     *hub
	info    *workflow.ObjectInfo
	noise   *rand.Rand
	servers []*noisyServer
	passed  map[*record]int32 // how often it was overtaken
	start   time.Time
	now     time.Duration
	made    int
	stated  map[*record]statement // when it was accepted

	queued tallied
	begun  [100 / quarter]tallied // by what was said first from then on
}

// statement is a range in which an end is expected, on the model's clock, and when it was stated.
type statement struct{ low, high, at time.Duration }

func (c *crowd) state(left amount, m aim) statement {
	low, high := left.between(m)
	return statement{c.now + low, c.now + high, c.now}
}

// tallied counts how often the end lay in the range that was stated.
type tallied struct {
	inside, all int
	width       float64 // sum of how far the range reaches, in parts of what was left
}

func (s *tallied) count(said statement, end time.Duration) {
	s.all++
	s.width += (said.high - said.low).Seconds() / (end - said.at).Seconds()
	if said.low <= end && end <= said.high {
		s.inside++
	}
}

func (s *tallied) share() float64 { return 100 * float64(s.inside) / float64(max(s.all, 1)) }

func newCrowd(info *workflow.ObjectInfo, seed uint64) *crowd {
	c := &crowd{
		hub: newHub(0, nil, nil), info: info, noise: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a model
		start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), stated: map[*record]statement{}, passed: map[*record]int32{},
	}
	for _, pace := range []float64{1, 1.3, 2.2} {
		s := &noisyServer{id: uuid.New(), pace: pace}
		c.servers = append(c.servers, s)
		c.hub.servers = append(c.hub.servers, Server{ID: s.id, State: ServerUp})
	}
	return c
}

// around is about so many seconds, off by a factor of e^spread.
func (c *crowd) around(seconds, spread float64) time.Duration {
	return time.Duration(seconds * math.Exp(spread*c.noise.NormFloat64()) * float64(time.Second))
}

// accept puts a generation into the queue: one of two models, of four sizes, with 12 to 40 steps.
func (c *crowd) accept() {
	side := 512 + 256*c.noise.IntN(4)
	model := []string{"small", "large"}[c.noise.IntN(2)]
	g := Generation{
		ID: uuid.New(), Status: Pending, Workflow: "text-to-image", rank: float64(c.made), needs: []string{needModel + model},
		Settings: workflow.Values{"model": model, "steps": int64(12 + 4*c.noise.IntN(8))},
		Images:   []Image{{Index: 1, Status: Pending, Width: side, Height: side}},
	}
	c.made++
	r := c.hub.add(g)
	live, turns := inOrder(c.hub.records, nil)
	f := c.hub.foresee(live, turns, c.start.Add(c.now))
	if e, ok := f.expected[r]; ok {
		c.stated[r] = c.state(e.end, c.hub.lore.queueAim())
	}
}

// choose is what a server takes next of the queue.
func (c *crowd) choose(turns []turn, s *noisyServer) *record {
	list := make([]db.ImageCandidatesRow, min(len(turns), lookAhead))
	for i := range list {
		list[i] = db.ImageCandidatesRow{Needs: turns[i].generation.needs, Overtaken: c.passed[turns[i].record]}
	}
	chosen := preferred(list, []string{needModel + s.model})
	if chosen > 0 {
		c.passed[turns[0].record]++
	}
	return turns[chosen].record
}

// begin has a server take one of the queue: what it will say is settled now, with all its noise.
func (c *crowd) begin(s *noisyServer) bool {
	_, turns := inOrder(c.hub.records, nil)
	if len(turns) == 0 {
		return false
	}
	r := c.choose(turns, s)
	image := &r.generation.Images[0]
	steps := r.kind.steps
	graph := workflow.Graph{
		"1": {ClassType: "CheckpointLoaderSimple"},
		"2": {ClassType: "CLIPTextEncode", Inputs: links("clip", "1")},
		"3": {ClassType: "KSampler", Inputs: links("model", "1", "latent_image", "2")},
		"4": {ClassType: "VAEDecode", Inputs: links("samples", "3")},
		"5": {ClassType: "SaveImage", Inputs: links("images", "4")},
	}
	graph["3"].Inputs["steps"] = json.RawMessage(strconv.Itoa(steps))
	s.plan = comfy.NewPlan(graph, c.info)
	r.generation.Status, image.Status, image.AttemptState = Generating, Generating, attemptRunning
	image.PromptID, image.ServerID = uuid.NewString(), s.id
	s.record, s.state, s.said = r, s.plan.Start(image.PromptID), Calibration{}
	c.hub.tracked[image.PromptID] = tracked{generation: r.generation.ID, image: 1, source: s, notes: new(notes)}

	r.generation.served = c.start.Add(c.now)
	c.hub.begunWith(r)

	weight := map[string]float64{"small": 1, "large": 3.5}[r.kind.model]
	today := math.Exp(0.05 * c.noise.NormFloat64()) // how the whole run goes
	at := c.now
	say := func(m comfy.Message) {
		m.PromptID = image.PromptID
		s.left = append(s.left, said{m, at})
	}
	node := func(id string, took time.Duration) {
		say(comfy.Message{Type: comfy.TypeExecuting, Node: id, DisplayNode: id})
		at += took
	}
	say(comfy.Message{Type: comfy.TypeExecutionStart})
	first := 0.1
	if s.model == r.kind.model {
		say(comfy.Message{Type: comfy.TypeExecutionCached, Cached: []string{"1"}})
	} else {
		node("1", c.around(4*weight*today, 0.25))
		first, s.model = 0.8*weight, r.kind.model
	}
	node("2", c.around(0.3*weight*today, 0.2))
	step := 0.25 * weight * s.pace * today * r.kind.megapixels() / 0.26
	node("3", c.around(first, 0.3))
	for value := 1; value <= steps; value++ {
		at += c.around(step, 0.08)
		say(comfy.Message{Type: comfy.TypeProgress, Node: "3", Value: float64(value), Max: float64(steps)})
	}
	node("4", c.around(1.5*s.pace*today*r.kind.megapixels(), 0.15))
	node("5", c.around(0.3*r.kind.megapixels(), 0.3))
	say(comfy.Message{Type: comfy.TypeExecutionSuccess})
	say(comfy.Message{Type: comfy.TypeExecuting})
	at += c.around(0.4, 0.4) // until the files are stored
	say(comfy.Message{})
	return true
}

func links(pairs ...string) map[string]json.RawMessage {
	inputs := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		inputs[pairs[i]] = json.RawMessage(`["` + pairs[i+1] + `",0]`)
	}
	return inputs
}

// step goes on to the next word of a server; false: nothing is left to do.
func (c *crowd) step() bool {
	var next *noisyServer
	for _, s := range c.servers {
		if s.record == nil && !c.begin(s) {
			continue
		}
		if next == nil || s.left[0].at < next.left[0].at {
			next = s
		}
	}
	if next == nil {
		return false
	}
	m := next.left[0]
	next.left, c.now = next.left[1:], m.at
	if len(next.left) == 0 {
		c.end(next)
		return true
	}
	next.state = comfy.Fold(&next.plan, next.state, m.Message, c.start.Add(c.now))
	if m.Type == comfy.TypeExecuting || m.Type == comfy.TypeProgress { // what is cached is known
		now := c.start.Add(c.now)
		if o := c.hub.outlook(next.record, &next.record.generation.Images[0], &next.state, now); o.Known {
			low, high := o.left().between(o.Aim)
			at := next.state.Elapsed(now).Seconds()
			next.said.say(ETASaid{At: at, Low: at + low.Seconds(), Mean: at + o.Left, High: at + high.Seconds()}, int(100*o.Fraction))
		}
	}
	return true
}

// end is that of a run, whose files are stored.
func (c *crowd) end(s *noisyServer) {
	r := s.record
	if said, ok := c.stated[r]; ok {
		c.queued.count(said, c.now)
		c.hub.lore.judgeQueued(said.low-said.at, said.high-said.at, c.now-said.at)
	}
	k := r.kind.on(s.id)
	s.said.Seconds = s.state.Elapsed(c.start.Add(c.now)).Seconds()
	for said := range s.said.said() {
		begun := c.now - inSeconds(s.said.Seconds)
		c.begun[said.From/quarter].count(statement{
			low: begun + inSeconds(said.Low), high: begun + inSeconds(said.High), at: begun + inSeconds(said.At),
		}, c.now)
	}
	c.hub.lore.judge(k, &s.said)
	c.hub.lore.study(k, &s.state)
	c.hub.lore.teach(k, &comfy.Work{}, partStore, false, c.now-s.state.UpdatedAt.Sub(c.start))
	delete(c.hub.records, r.generation.ID)
	delete(c.hub.tracked, r.generation.Images[0].PromptID)
	s.record = nil
}

// run accepts images in bursts and works them off, and forgets what was stated of the first, before which nothing was
// learned.
func (c *crowd) run(images, unlearned int) {
	for c.made < images {
		for range 1 + c.noise.IntN(12) {
			c.accept()
		}
		for range 60 + c.noise.IntN(400) {
			if !c.step() {
				break
			}
		}
		if c.made < unlearned {
			c.queued, c.begun = tallied{}, [len(c.begun)]tallied{}
			clear(c.stated)
		}
	}
	for c.step() {
	}
}

// Three servers that differ by more than two in speed, two models, four sizes, 12 to 40 steps, and noise in
// everything: about four of five images end within the range that was stated, whenever that was.
func TestRangesOfNoisyServers(t *testing.T) {
	t.Parallel()
	c := newCrowd(stockInfo(t), 1)
	c.run(400, 60)
	for i, stated := range append([]tallied{c.queued}, c.begun[:]...) {
		t.Logf("%s: %.0f %% of %d inside", moments[i], stated.share(), stated.all)
		if stated.share() < 68 || stated.share() > 92 || stated.all < 300 {
			t.Errorf("%s: %.0f %% of %d ends in the ranges that were stated, want about 80", moments[i], stated.share(), stated.all)
		}
	}
}

// BenchmarkForecast runs the model of noisy servers and says how many ends lay in the ranges that were stated, and how
// wide these were in parts of what was left.
func BenchmarkForecast(b *testing.B) {
	var all [len(moments)]tallied
	info := stockInfo(b)
	for i := range b.N {
		c := newCrowd(info, uint64(i)+1) //nolint:gosec // a model
		c.run(1000, 100)
		all[0].add(c.queued)
		for at := range c.begun {
			all[at+1].add(c.begun[at])
		}
	}
	for at, stated := range all {
		b.ReportMetric(stated.share(), "%inside-"+moments[at])
		b.ReportMetric(stated.width/float64(stated.all), "width-"+moments[at])
	}
}

// moments are when a range was stated.
var moments = [...]string{"accepted", "begun", "25%", "50%", "75%"}

func (s *tallied) add(o tallied) {
	s.inside, s.all, s.width = s.inside+o.inside, s.all+o.all, s.width+o.width
}
