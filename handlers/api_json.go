package handlers

import (
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/studio"
	"easel/views"
)

// generationJSON is a generation as programs read it. What is not there yet is null.
type generationJSON struct {
	ID                uuid.UUID       `json:"id"`
	Prompt            string          `json:"prompt"`
	NegativePrompt    string          `json:"negativePrompt"`
	Workflow          string          `json:"workflow"`
	WorkflowVersion   *int            `json:"workflowVersion"` // null: it comes with Easel
	Settings          workflow.Values `json:"settings"`
	Status            studio.Status   `json:"status"`
	ErrorMessage      *string         `json:"errorMessage"`
	Warnings          []string        `json:"warnings"`
	ComfyUIPromptID   *string         `json:"comfyuiPromptId"` // of the image at work, else of the last that was sent
	Images            []imageJSON     `json:"images"`
	Progress          progressJSON    `json:"progress"`
	Priority          string          `json:"priority"` // low, normal or high
	Held              bool            `json:"held"`     // back: nothing of it is sent to a server
	RetryOf           *uuid.UUID      `json:"retryOf"`
	CancelRequestedAt *string         `json:"cancelRequestedAt"`
	CreatedAt         string          `json:"createdAt"`
	UpdatedAt         string          `json:"updatedAt"`
}

type imageJSON struct {
	Index           int           `json:"index"` // from 1
	Status          studio.Status `json:"status"`
	ComfyUIPromptID *string       `json:"comfyuiPromptId"`
	Seed            uint64        `json:"seed"`
	URL             *string       `json:"url"` // of the first output
	ThumbnailURL    *string       `json:"thumbnailUrl"`
	Width           int           `json:"width"`
	Height          int           `json:"height"`
	MIME            *string       `json:"mime"`
	Outputs         []outputJSON  `json:"outputs"`
	Attempts        int           `json:"attempts"`    // how often it was sent
	RetryReason     *string       `json:"retryReason"` // why more than once
}

type outputJSON struct {
	Node         string  `json:"node"`
	Kind         string  `json:"kind"`
	URL          string  `json:"url"`
	ThumbnailURL *string `json:"thumbnailUrl"`
	MIME         string  `json:"mime"`
}

// progressJSON is a progress event without its type.
type progressJSON struct {
	CurrentStep    int         `json:"currentStep"`
	TotalSteps     int         `json:"totalSteps"`
	Percentage     int         `json:"percentage"`
	Status         string      `json:"status"`
	Phase          comfy.Phase `json:"phase"`
	Overall        int         `json:"overall"`
	ETASeconds     *float64    `json:"etaSeconds"`
	ETALowSeconds  *float64    `json:"etaLowSeconds"` // four of five end between these two
	ETAHighSeconds *float64    `json:"etaHighSeconds"`
	QueuePosition  *int        `json:"queuePosition"`
	ExpectedStart  *string     `json:"expectedStart"`
	ExpectedFinish *string     `json:"expectedFinish"`
	ImageIndex     *int        `json:"imageIndex"`
	TotalImages    int         `json:"totalImages"`
	Node           *string     `json:"node"`
}

// newProgressJSON shows p; what is zero for "none" there is null here.
func newProgressJSON(p studio.Progress) progressJSON {
	shown := progressJSON{
		CurrentStep: p.CurrentStep, TotalSteps: p.TotalSteps, Percentage: p.Percentage, Status: p.Status,
		Phase: p.Phase, Overall: p.Overall, QueuePosition: known(p.QueuePosition), ImageIndex: known(p.ImageIndex),
		TotalImages: p.TotalImages, Node: known(p.Node),
	}
	shown.ExpectedStart, shown.ExpectedFinish = momentText(p.ExpectedStart), momentText(p.ExpectedFinish)
	if p.ETAKnown {
		shown.ETASeconds, shown.ETALowSeconds, shown.ETAHighSeconds = tenths(p.ETA), tenths(p.ETALow), tenths(p.ETAHigh)
	}
	return shown
}

// momentText is a time, or null for one that is not known.
func momentText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(timeText(t))
}

// tenths are seconds, as exact as anybody can use.
func tenths(d time.Duration) *float64 { return new(d.Round(100 * time.Millisecond).Seconds()) }

// known is v, or null for a zero that says "none".
func known[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// newGenerationJSON shows g with the progress that belongs to it.
func newGenerationJSON(paths views.Paths, g *studio.Generation, p studio.Progress) generationJSON {
	shown := generationJSON{
		ID: g.ID, Prompt: g.Prompt, NegativePrompt: g.NegativePrompt, Workflow: g.Workflow, Settings: g.Settings,
		Status: g.Status, ErrorMessage: known(g.ErrorMessage), Warnings: g.Warnings,
		Images: make([]imageJSON, 0, len(g.Images)), Progress: newProgressJSON(p), RetryOf: g.RetryOf,
		Priority: g.Priority.String(), Held: g.HeldAt != nil,
		CreatedAt: timeText(g.CreatedAt), UpdatedAt: timeText(g.UpdatedAt),
	}
	if g.WorkflowVersion > 0 {
		shown.WorkflowVersion = &g.WorkflowVersion
	}
	if shown.Settings == nil {
		shown.Settings = workflow.Values{}
	}
	if shown.Warnings == nil {
		shown.Warnings = []string{}
	}
	if g.CancelRequestedAt != nil {
		at := timeText(*g.CancelRequestedAt)
		shown.CancelRequestedAt = &at
	}
	var atWork bool
	for i := range g.Images {
		image := &g.Images[i]
		shown.Images = append(shown.Images, newImageJSON(paths, g.ID.String(), image))
		if image.PromptID != "" && !atWork {
			shown.ComfyUIPromptID = &image.PromptID
			atWork = image.Status == studio.Generating
		}
	}
	return shown
}

func newImageJSON(paths views.Paths, id string, image *studio.Image) imageJSON {
	shown := imageJSON{
		Index: image.Index, Status: image.Status, ComfyUIPromptID: known(image.PromptID), Seed: image.Seed,
		Width: image.Width, Height: image.Height, Outputs: make([]outputJSON, 0, len(image.Outputs)),
		Attempts: image.Attempts, RetryReason: known(image.RetryReason),
	}
	for i, o := range image.Outputs {
		out := outputJSON{Node: o.Node, Kind: o.Kind, URL: paths.Output(id, image.Index, o.Index), MIME: o.MIME}
		if o.Thumbnail != "" {
			thumbnail := paths.Thumbnail(id, image.Index, o.Index)
			out.ThumbnailURL = &thumbnail
		}
		if i == 0 {
			shown.URL, shown.ThumbnailURL, shown.MIME = &out.URL, out.ThumbnailURL, &out.MIME
			shown.Width, shown.Height = o.Width, o.Height
		}
		shown.Outputs = append(shown.Outputs, out)
	}
	return shown
}

// timeText is RFC 3339 in UTC, as fine as Postgres keeps it.
func timeText(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}

// stateJSON is a generation with its own present progress.
func (s *Server) stateJSON(state *studio.State) generationJSON {
	return newGenerationJSON(s.paths, &state.Generation, state.Progress)
}

// recordJSON is a generation of which only the record was read. A live one takes its progress
// from memory.
func (s *Server) recordJSON(g *studio.Generation, live map[uuid.UUID]*studio.State) generationJSON {
	if state, ok := live[g.ID]; ok && !g.Status.Ended() {
		return newGenerationJSON(s.paths, g, state.Progress)
	}
	return newGenerationJSON(s.paths, g, studio.RecordProgress(g))
}

// live is all live generations by id.
func (s *Server) live() map[uuid.UUID]*studio.State {
	overview := s.studio.Overview()
	live := make(map[uuid.UUID]*studio.State, len(overview.Live))
	for _, state := range overview.Live {
		live[state.Generation.ID] = state
	}
	return live
}
