package handlers

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"easel/studio"
)

// timelineJSON is when what of a generation ran. Times of nodes count from their image's startedAt.
type timelineJSON struct {
	GenerationID uuid.UUID           `json:"generationId"`
	Status       studio.Status       `json:"status"`
	Usual        *usualJSON          `json:"usual"` // null while it is not known
	Images       []imageTimelineJSON `json:"images"`
}

type usualJSON struct {
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`
}

type imageTimelineJSON struct {
	ImageIndex      int            `json:"imageIndex"`
	ComfyUIPromptID string         `json:"comfyuiPromptId"`
	Attempt         int            `json:"attempt"` // the last one
	Server          string         `json:"server"`
	State           string         `json:"state"`
	AcceptedAt      string         `json:"acceptedAt"`
	PickedAt        string         `json:"pickedAt"`
	SubmittedAt     *string        `json:"submittedAt"`
	StartedAt       *string        `json:"startedAt"`
	FirstStepAt     *string        `json:"firstStepAt"`
	DoneAt          *string        `json:"doneAt"` // in ComfyUI
	FinishedAt      *string        `json:"finishedAt"`
	FetchSeconds    *float64       `json:"fetchSeconds"`
	StoreSeconds    *float64       `json:"storeSeconds"`
	Whole           bool           `json:"whole"` // nothing of the run went unheard
	Nodes           []nodeTimeJSON `json:"nodes"`
}

type nodeTimeJSON struct {
	Node          string         `json:"node"`
	Class         string         `json:"class"`
	Title         string         `json:"title"`
	Cached        bool           `json:"cached"`
	StartSeconds  *float64       `json:"startSeconds"`
	EndSeconds    *float64       `json:"endSeconds"`
	UsualSeconds  *float64       `json:"usualSeconds"`
	UsuallyCached bool           `json:"usuallyCached"`
	Passes        []passTimeJSON `json:"passes,omitempty"`
}

type passTimeJSON struct {
	FirstStepSeconds float64 `json:"firstStepSeconds"` // when the first step was seen to be done
	LastStepSeconds  float64 `json:"lastStepSeconds"`
	Steps            int     `json:"steps"`
}

// apiTimeline is when what of a generation ran: of a live one as far as this instance knows.
func (s *Server) apiTimeline(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	state, err := s.studio.State(r.Context(), id)
	if err != nil {
		return err
	}
	lines, usual, err := s.timelines(r.Context(), &state.Generation)
	if err != nil {
		return err
	}
	shown := timelineJSON{GenerationID: id, Status: state.Generation.Status, Images: make([]imageTimelineJSON, 0, len(lines))}
	if usual.Runs > 0 {
		shown.Usual = &usualJSON{usual.Runs, inSeconds(usual.Took)}
	}
	for i := range lines {
		shown.Images = append(shown.Images, newImageTimelineJSON(&lines[i], usual))
	}
	return answerJSON(w, http.StatusOK, shown)
}

func newImageTimelineJSON(t *studio.Timeline, usual studio.Usual) imageTimelineJSON {
	shown := imageTimelineJSON{
		ImageIndex: t.ImageIndex, ComfyUIPromptID: t.PromptID, Attempt: t.Number, Server: t.Server, State: t.State,
		AcceptedAt: timeText(t.AcceptedAt), PickedAt: timeText(t.CreatedAt), SubmittedAt: knownTime(t.SubmittedAt),
		StartedAt: knownTime(t.RunningAt), FirstStepAt: knownTime(t.SamplingAt), DoneAt: knownTime(t.FinalizingAt),
		FinishedAt: knownTime(t.FinishedAt), FetchSeconds: known(inSeconds(t.Fetch)), StoreSeconds: known(inSeconds(t.Store)),
		Whole: t.Whole, Nodes: make([]nodeTimeJSON, 0, len(t.Nodes)),
	}
	for _, n := range t.Nodes {
		u := usual.Nodes[n.Node]
		node := nodeTimeJSON{
			Node: n.Node, Class: n.Class, Title: n.Title, Cached: n.Cached, UsualSeconds: known(inSeconds(u.Took)), UsuallyCached: u.Cached,
		}
		if !n.Cached {
			start := inSeconds(n.Start)
			node.StartSeconds = &start
			if n.End > 0 {
				end := inSeconds(n.End)
				node.EndSeconds = &end
			}
		}
		for _, p := range n.Passes {
			node.Passes = append(node.Passes, passTimeJSON{inSeconds(p.Start), inSeconds(p.End), p.Steps})
		}
		shown.Nodes = append(shown.Nodes, node)
	}
	return shown
}

// inSeconds is d to the millisecond.
func inSeconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// knownTime is t as text, or null.
func knownTime(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := timeText(*t)
	return &text
}
