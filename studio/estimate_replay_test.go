package studio

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"easel/comfy"
	"easel/comfy/transcript"
	"easel/comfy/workflow"
)

// said is one message of a recorded run, at its time since the first.
type said struct {
	comfy.Message
	at time.Duration
}

// recordedRun is a run that a real ComfyUI made, as its socket told it.
type recordedRun struct {
	name     string
	prompt   string
	plan     comfy.Plan
	messages []said
}

// storing is how long the files of every run take to be fetched and stored: what no recording tells.
const storing = 200 * time.Millisecond

// stockInfo is the object_info of the server that was recorded.
func stockInfo(t testing.TB) *workflow.ObjectInfo {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(transcript.Dir(), "object_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := workflow.ParseObjectInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// recordedRuns are those that succeeded with all that they said heard, that sampled, and that took a second or more: the number of
// a shorter one has no time to move.
func recordedRuns(t *testing.T) (runs []recordedRun) {
	t.Helper()
	info := stockInfo(t)
	names, err := transcript.Names("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := transcript.Read("", name)
		if err != nil {
			t.Fatal(err)
		}
		told := everything(t, file)
		for _, x := range file.Exchanges() {
			run, client, ok := sentRun(file.Name, x, info)
			if !ok || !run.hear(told[client]) {
				continue
			}
			last, _ := run.play(&lore{}, nil)
			if last.Whole() && last.Phase == comfy.PhaseComplete && !last.Reused && last.StepsPlanned > 0 && last.UpdatedAt.Sub(last.StartedAt) >= time.Second {
				runs = append(runs, run)
			}
		}
	}
	return runs
}

// sentRun is what a POST of a prompt sent.
func sentRun(name string, x transcript.Exchange, info *workflow.ObjectInfo) (run recordedRun, client string, ok bool) {
	if x.Request.Method != "POST" || x.Request.Body == nil || x.Response == nil || x.Response.Body == nil {
		return run, "", false
	}
	var sent struct {
		Prompt   json.RawMessage `json:"prompt"`
		ClientID string          `json:"client_id"`
	}
	var answer struct {
		PromptID string `json:"prompt_id"`
	}
	if json.Unmarshal([]byte(*x.Request.Body), &sent) != nil || json.Unmarshal([]byte(*x.Response.Body), &answer) != nil || answer.PromptID == "" {
		return run, "", false
	}
	g, err := workflow.ParseGraph(sent.Prompt)
	if err != nil {
		return run, "", false
	}
	return recordedRun{name: name, prompt: answer.PromptID, plan: comfy.NewPlan(g, info)}, sent.ClientID, true
}

// everything is all that each client heard, in text.
func everything(t *testing.T, file *transcript.File) map[string][]said {
	t.Helper()
	clients := map[string]string{}
	for _, e := range file.Entries {
		if e.Kind != transcript.WSConnect {
			continue
		}
		if u, err := url.Parse(e.Path); err == nil {
			clients[e.WS] = u.Query().Get("clientId")
		}
	}
	told := map[string][]said{}
	for _, e := range file.Received("") {
		if e.Op != "text" {
			continue
		}
		frame, err := e.Frame()
		if err != nil {
			t.Fatal(err)
		}
		if m, err := comfy.DecodeText(frame); err == nil {
			told[clients[e.WS]] = append(told[clients[e.WS]], said{m, e.At()})
		}
	}
	return told
}

// hear takes the messages of the run; false: there were none.
func (r *recordedRun) hear(told []said) bool {
	for _, m := range told {
		if m.PromptID == r.prompt {
			r.messages = append(r.messages, m)
		}
	}
	for i := len(r.messages) - 1; i >= 0; i-- {
		r.messages[i].at -= r.messages[0].at
	}
	return len(r.messages) > 0
}

func (r *recordedRun) kind() kind { return kind{workflow: r.name + r.prompt, width: 512, height: 512} }

// play folds the run with what was learned, and gives its last state, and what was said of it against what came. With
// noise each of its waits is another, and it is learned from.
func (r *recordedRun) play(l *lore, noise *rand.Rand) (comfy.Progress, *Calibration) {
	stretch := func(d time.Duration) time.Duration {
		if noise == nil {
			return d
		}
		return time.Duration(float64(d) * math.Exp(0.15*noise.NormFloat64()))
	}
	g := &Generation{Status: Generating, Images: []Image{{Index: 1, Status: Generating, AttemptState: attemptRunning, PromptID: r.prompt}}}
	p := r.plan.Start(r.prompt)
	var noted notes
	var prev *State
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := time.Duration(0)
	for _, m := range r.messages {
		now = now.Add(stretch(m.at - before))
		before = m.at
		p = comfy.Fold(&r.plan, p, m.Message, now)
		state := &State{Generation: *g}
		state.Progress, state.Images = progressOf(g, prev, sight{
			heard: func(string) (comfy.Progress, bool) { return p, true }, now: now,
			outlook: func(_ *Image, s *comfy.Progress) outlook {
				stored := time.Duration(-1)
				if s.Ended {
					stored = 0
				}
				return l.outlookOf(r.kind(), s, s.Elapsed(now), stored, now)
			},
		})
		noted.add(&state.Images[0].Progress, &p, now)
		prev = state
	}
	c := noted.conclude(p.Elapsed(now).Seconds(), p.Elapsed(now).Seconds())
	c.conclude(c.Over + stretch(storing).Seconds())
	if noise != nil {
		l.study(r.kind(), &p)
		l.teach(r.kind(), &comfy.Work{}, partStore, false, inSeconds(c.Seconds-c.Over))
	}
	return p, c
}

// After five runs of the same kind, each of whose waits was another by some 15 %, the number of a recorded run is
// within 5 points of the truth, and nearer to it than the bars that count nodes or steps.
func TestNumberOfRecordedRuns(t *testing.T) {
	t.Parallel()
	noise := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every test
	var before, after, nodes, steps, worst float64
	inside, foretold := 0, 0
	runs := recordedRuns(t)
	t.Logf("%-44s %7s  first run  after five  nodes  steps", "mean absolute error in points", "seconds")
	for _, run := range runs {
		l := &lore{}
		_, first := run.play(l, nil)
		for range 5 {
			run.play(l, noise)
		}
		_, c := run.play(l, nil)
		t.Logf("%-44s %7.2f  %9.1f  %10.1f  %5.1f  %5.1f", run.name, c.Seconds, first.Errors.Overall, c.Errors.Overall, c.Errors.Nodes, c.Errors.Steps)
		before, after = before+first.Errors.Overall, after+c.Errors.Overall
		nodes, steps = nodes+c.Errors.Nodes, steps+c.Errors.Steps
		worst = max(worst, c.Errors.Overall)
		if c.First != nil {
			foretold++
			if c.First.Inside {
				inside++
			}
		}
	}
	n := float64(len(runs))
	if n < 30 {
		t.Fatalf("%v runs found, want all of the 35 and more", n)
	}
	t.Logf("mean of %v runs: first run %.1f, after five %.1f (worst %.1f), nodes %.1f, steps %.1f; %d of %d ended in the range first stated",
		n, before/n, after/n, worst, nodes/n, steps/n, inside, foretold)
	if after/n > 5 || worst > 10 || after > nodes || after > steps || foretold < len(runs) {
		t.Errorf("error of %.1f points in the mean and %.1f at worst, want 5 and 10", after/n, worst)
	}
}
