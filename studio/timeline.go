package studio

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/db"
)

// Timeline is when the last attempt of an image came how far. Times that did not come, or of which nothing is
// known, are nil or 0.
type Timeline struct {
	ImageIndex int
	PromptID   string
	Number     int // of the attempt, from 1
	Server     string
	State      string // of the attempt: submitting, submitted, running, finalizing, succeeded, ...
	Reused     bool   // the results of all its samplers were cached

	// By the database's clock.
	AcceptedAt   time.Time  // the generation was
	CreatedAt    time.Time  // a server took the image out of the queue
	SubmittedAt  *time.Time // ComfyUI accepted it
	RunningAt    *time.Time // execution began
	SamplingAt   *time.Time // first sampler step
	FinalizingAt *time.Time // ComfyUI was done
	FinishedAt   *time.Time // files stored, or the end of another kind

	Fetch, Store time.Duration // of the files, the last thing before FinishedAt; 0: not known

	StartedAt *time.Time       // what the times of Nodes count from: about RunningAt
	Whole     bool             // nothing of the run went unheard
	Nodes     []comfy.NodeTime // empty: nothing was heard of them

	Calibration *Calibration // nil until the end of a success, and of attempts whose estimates nobody noted
}

// Timelines tells of each image of a generation that was ever sent, in order. Of what runs on this instance it has
// the present state.
func (s *Studio) Timelines(ctx context.Context, generation uuid.UUID) ([]Timeline, error) {
	rows, err := s.queries.AttemptTimelines(ctx, generation)
	if err != nil {
		return nil, fmt.Errorf("read timelines: %w", err)
	}
	list := make([]Timeline, len(rows))
	for i := range rows {
		row := &rows[i]
		list[i] = Timeline{
			ImageIndex: int(row.ImageIndex), PromptID: row.PromptID.String(), Number: int(row.Number), Server: row.Server,
			State: row.State, Reused: row.Reused, AcceptedAt: row.AcceptedAt, CreatedAt: row.CreatedAt, SubmittedAt: row.SubmittedAt,
			RunningAt: row.RunningAt, SamplingAt: row.SamplingAt, FinalizingAt: row.FinalizingAt, FinishedAt: row.FinishedAt,
			Fetch: seconds(row.FetchSeconds), Store: seconds(row.StoreSeconds),
		}
		list[i].recall(row, s.hub.heard)
	}
	return list, nil
}

// recall takes in what was kept of the run, or what is known of it now. What cannot be read is as if it were not there.
func (t *Timeline) recall(row *db.AttemptTimelinesRow, heard func(promptID string) (comfy.Progress, bool)) {
	if p, ok := heard(t.PromptID); ok && len(row.Timeline) == 0 && !p.StartedAt.IsZero() {
		t.StartedAt, t.Whole, t.Nodes = &p.StartedAt, p.Whole(), p.Timeline()
		return
	}
	var kept storedTimeline
	if json.Unmarshal(row.Timeline, &kept) == nil && !kept.StartedAt.IsZero() {
		t.StartedAt, t.Whole, t.Nodes = &kept.StartedAt, kept.Whole, kept.nodes()
	}
	t.Calibration = readCalibration(row.Calibration)
}

func seconds(s *float64) time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(*s * float64(time.Second))
}

// storedTimeline is the form of the column attempts.timeline.
type storedTimeline struct {
	StartedAt time.Time    `json:"started_at"`
	Whole     bool         `json:"whole,omitempty"`
	Nodes     []storedNode `json:"nodes"`
}

type storedNode struct {
	Node   string       `json:"node"`
	Class  string       `json:"class"`
	Title  string       `json:"title"`
	Cached bool         `json:"cached,omitempty"`
	Start  milliseconds `json:"start"`
	End    milliseconds `json:"end"`
	Passes []storedPass `json:"passes,omitempty"`
}

type storedPass struct {
	Start milliseconds `json:"start"`
	First int          `json:"first"`
	End   milliseconds `json:"end"`
	Steps int          `json:"steps"`
}

// milliseconds is a duration as JSON keeps it.
type milliseconds int64

func inMilliseconds(d time.Duration) milliseconds {
	return milliseconds(d.Round(time.Millisecond) / time.Millisecond)
}
func (m milliseconds) duration() time.Duration { return time.Duration(m) * time.Millisecond }

// What is kept of a run at most: the largest graphs in the field have a few hundred nodes.
const (
	mostKeptNodes  = 500
	mostKeptPasses = 50 // of one node
)

// storableTimeline is what the column keeps of a run; nil: nothing was heard of it.
func storableTimeline(p *comfy.Progress) []byte {
	list := p.Timeline()
	if p.StartedAt.IsZero() || len(list) == 0 {
		return nil
	}
	kept := storedTimeline{StartedAt: p.StartedAt.UTC().Round(0), Whole: p.Whole(), Nodes: make([]storedNode, 0, min(len(list), mostKeptNodes))}
	for _, n := range list[:min(len(list), mostKeptNodes)] {
		node := storedNode{
			Node: storableText(n.Node), Class: storableText(n.Class), Title: storableText(n.Title), Cached: n.Cached,
			Start: inMilliseconds(n.Start), End: inMilliseconds(cmp.Or(n.End, n.Start)),
		}
		for _, pass := range n.Passes[:min(len(n.Passes), mostKeptPasses)] {
			node.Passes = append(node.Passes, storedPass{
				Start: inMilliseconds(pass.Start), First: pass.First, End: inMilliseconds(pass.End), Steps: pass.Steps,
			})
		}
		kept.Nodes = append(kept.Nodes, node)
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return nil // a time that no calendar has: the run is worth more than its times
	}
	return raw
}

// storableText is text of a bearable length that jsonb takes.
func storableText(text string) string {
	return shorten(strings.ReplaceAll(text, "\x00", ""), mostTitle)
}

func (k *storedTimeline) nodes() []comfy.NodeTime {
	list := make([]comfy.NodeTime, len(k.Nodes))
	for i, n := range k.Nodes {
		list[i] = comfy.NodeTime{
			Node: n.Node, Class: n.Class, Title: n.Title, Cached: n.Cached, Start: n.Start.duration(), End: n.End.duration(),
		}
		for _, pass := range n.Passes {
			list[i].Passes = append(list[i].Passes, comfy.PassTime{
				Start: pass.Start.duration(), First: pass.First, End: pass.End.duration(), Steps: pass.Steps,
			})
		}
	}
	return list
}
