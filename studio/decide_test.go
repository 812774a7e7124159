package studio

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"easel/comfy"
)

var protocol = Timing{}.withDefaults()

func someFile() []comfy.OutputFile {
	return []comfy.OutputFile{{Node: "9", Filename: "a.png", Type: "output"}}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	absentOnce := life{State: attemptSubmitted, Seen: true, Posted: at(time.Minute), AbsentAt: at(3 * time.Second)}
	with := func(a life, change func(*life)) life {
		change(&a)
		return a
	}
	for _, test := range []struct {
		name   string
		a      life
		l      comfy.Lookup
		do     action
		reason string
	}{
		{"arrived", life{State: attemptSubmitting}, comfy.Lookup{State: comfy.Waiting}, noteSubmitted, ""},
		{"still waiting", life{State: attemptSubmitted}, comfy.Lookup{State: comfy.Waiting}, wait, ""},
		{"runs, never acknowledged", life{State: attemptSubmitting}, comfy.Lookup{State: comfy.Running}, noteRunning, ""},
		{"runs on", life{State: attemptRunning}, comfy.Lookup{State: comfy.Running}, wait, ""},
		{"done", life{State: attemptRunning}, comfy.Lookup{State: comfy.Succeeded, Outputs: someFile()}, fetch, ""},
		{"done although cancelled", life{State: attemptRunning, Cancel: true}, comfy.Lookup{State: comfy.Succeeded, Outputs: someFile()}, fetch, ""},
		{"done without files, first reading", life{State: attemptRunning}, comfy.Lookup{State: comfy.Succeeded}, wait, ""},
		{"done without files, again", life{State: attemptRunning, Empty: 1}, comfy.Lookup{State: comfy.Succeeded}, endFailed, codeNoOutputs},
		{"failed", life{State: attemptRunning}, comfy.Lookup{State: comfy.Failed}, endFailed, codeExecution},
		{"interrupted as asked", life{State: attemptRunning, Cancel: true}, comfy.Lookup{State: comfy.Interrupted}, endCancelled, ""},
		{"interrupted by others", life{State: attemptRunning}, comfy.Lookup{State: comfy.Interrupted}, endInterrupted, codeInterrupted},
		{"absent once", life{State: attemptSubmitted, Posted: at(time.Minute)}, comfy.Lookup{}, wait, ""},
		{"absent twice", absentOnce, comfy.Lookup{}, endLost, lossAbsent},
		{"absent twice, at once", with(absentOnce, func(a *life) { a.AbsentAt = at(time.Second) }), comfy.Lookup{}, wait, ""},
		{"absent twice, POST may be on its way", with(absentOnce, func(a *life) { a.Posted = at(20 * time.Second) }), comfy.Lookup{}, wait, ""},
		{"absent, cancelled, was there", life{Cancel: true, Seen: true, Posted: now}, comfy.Lookup{}, endCancelled, ""},
		{"absent, cancelled, never seen", life{Cancel: true, Posted: now}, comfy.Lookup{}, wait, ""},
		{"server error and absent", with(absentOnce, func(a *life) { a.Seen, a.Refused = false, true }), comfy.Lookup{}, endFailed, codeRejected},
		{"second crash", with(absentOnce, func(a *life) { a.State, a.Crashes, a.Losses = attemptRunning, 1, 1 }), comfy.Lookup{}, endGone, codeCrashes},
		{"second loss while waiting", with(absentOnce, func(a *life) { a.Losses = 1 }), comfy.Lookup{}, endLost, lossAbsent},
		{"third loss", with(absentOnce, func(a *life) { a.Losses = 2 }), comfy.Lookup{}, endGone, codeLost},
	} {
		_, v := decide(test.a, test.l, now, protocol)
		if v.Do != test.do || v.Code != test.reason && v.Reason != test.reason {
			t.Errorf("%s: %+v, want %d %s", test.name, v, test.do, test.reason)
		}
	}
}

func TestDecideUnanswered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		a         life
		elsewhere bool
		do        action
		reason    string
	}{
		{"nobody else can run it", life{State: attemptRunning}, false, wait, ""},
		{"another can", life{State: attemptRunning}, true, endLost, lossUnreachable},
		{"ran at a crash before", life{State: attemptRunning, Losses: 1, Crashes: 1}, true, endGone, codeCrashes},
		{"waited there", life{State: attemptSubmitted, Losses: 1, Crashes: 1}, true, endLost, lossUnreachable},
		{"third loss", life{State: attemptSubmitted, Losses: 2}, true, endGone, codeLost},
		{"cancelled", life{State: attemptRunning, Cancel: true}, false, endCancelled, ""},
	} {
		v := decideUnanswered(test.a, test.elsewhere)
		if v.Do != test.do || v.Code != test.reason && v.Reason != test.reason || v.Watch != (v.Do != wait) {
			t.Errorf("%s: %+v, want %d %s", test.name, v, test.do, test.reason)
		}
	}
}

// model is a ComfyUI that may lose, delay and end a prompt at any time, as far as one prompt sees.
type model struct {
	state   comfy.State
	arrives time.Time // when the POST takes effect; zero: never
	gone    bool      // lost for good
}

func (m *model) read(now time.Time) comfy.Lookup {
	if m.gone || m.arrives.IsZero() || now.Before(m.arrives) {
		return comfy.Lookup{State: comfy.Absent}
	}
	l := comfy.Lookup{State: m.state}
	if m.state == comfy.Succeeded {
		l.Outputs = someFile()
	}
	return l
}

// Whatever ComfyUI does and whenever it is looked at: a prompt is given up only when it cannot
// run any more (P07), nothing is decided twice, and once the faults are over every attempt ends.
func TestDecideProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1_700_000_000, 0)
		now := start
		m := &model{state: comfy.Waiting}
		// A POST that takes effect does so within its 30 s.
		if rapid.Bool().Draw(t, "arrives") {
			m.arrives = start.Add(time.Duration(rapid.IntRange(0, 29_000).Draw(t, "after")) * time.Millisecond)
		}
		a := life{
			State: attemptSubmitting, Posted: start,
			Losses: rapid.IntRange(0, 2).Draw(t, "losses"), Crashes: rapid.IntRange(0, 1).Draw(t, "crashes"),
		}
		steps := rapid.IntRange(0, 40).Draw(t, "steps")
		noted := map[action]int{}
		var absent []time.Time // readings in a row
		for i := range steps + 200 {
			now = now.Add(time.Duration(rapid.IntRange(50, 12_000).Draw(t, "pause")) * time.Millisecond)
			arrived := !m.arrives.IsZero() && !now.Before(m.arrives)
			if i < steps && arrived && !m.gone {
				switch rapid.IntRange(0, 5).Draw(t, "event") {
				case 0:
					m.gone = true
				case 1:
					if !m.state.Ended() {
						m.state = comfy.Running
					}
				case 2:
					if !m.state.Ended() {
						m.state = rapid.SampledFrom([]comfy.State{comfy.Succeeded, comfy.Failed, comfy.Interrupted}).Draw(t, "end")
					}
				case 3:
					a.Cancel = true
				}
			} else if i >= steps && arrived && !m.gone && !m.state.Ended() {
				m.state = comfy.Succeeded // the faults are over: it ends
			}
			l := m.read(now)
			var v verdict
			if l.State != comfy.Absent {
				absent = nil
			} else {
				absent = append(absent, now)
			}
			a, v = decide(a, l, now, protocol)
			noted[v.Do]++
			switch v.Do {
			case noteSubmitted, noteRunning:
				if noted[v.Do] > 1 {
					t.Fatalf("decided %d twice", v.Do)
				}
				continue
			case wait:
				continue
			case endLost, endGone:
				if !m.gone && !m.arrives.IsZero() {
					t.Fatalf("a prompt that is or will be there was given up as lost: %+v", a)
				}
				if len(absent) < 2 || now.Sub(start) < protocol.Settle {
					t.Fatalf("given up after %d readings, %s after the POST", len(absent), now.Sub(start))
				}
			case fetch:
				if l.State != comfy.Succeeded {
					t.Fatalf("success was read from %s", l.State)
				}
			case endCancelled:
				if !a.Cancel {
					t.Fatal("cancelled though nobody asked")
				}
			}
			return
		}
		t.Fatalf("no end: %+v of %+v", a, m)
	})
}

func TestWantedFiles(t *testing.T) {
	t.Parallel()
	saved, shown := comfy.OutputFile{Filename: "a", Type: "output"}, comfy.OutputFile{Filename: "b", Type: "temp"}
	input := comfy.OutputFile{Filename: "c", Type: "input"}
	if got := wanted([]comfy.OutputFile{shown, saved, input}); len(got) != 1 || got[0] != saved {
		t.Errorf("wanted() = %v, want what was saved", got)
	}
	if got := wanted([]comfy.OutputFile{shown, input}); len(got) != 1 || got[0] != shown {
		t.Errorf("wanted() = %v, want what was shown", got)
	}
}
