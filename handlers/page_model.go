package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/studio"
	"easel/views"
)

// stateView is a generation with its present progress, as the pages show it.
func (s *Server) stateView(state *studio.State) views.Generation {
	g := s.recordView(&state.Generation, state.Progress)
	for i := range g.Images {
		if i >= len(state.Images) {
			break
		}
		p := state.Images[i].Progress
		image := &g.Images[i]
		image.Progress = progressView(p)
		if image.URL == "" && p.PreviewRev > 0 {
			image.Preview = s.paths.Preview(g.ID, image.Index, p.PreviewRev)
		}
	}
	// With one image its preview may be told for the whole alone.
	if p := state.Progress; p.PreviewRev > 0 && p.PreviewImage > 0 && p.PreviewImage <= len(g.Images) {
		if image := &g.Images[p.PreviewImage-1]; image.Source() == "" {
			image.Preview = s.paths.Preview(g.ID, image.Index, p.PreviewRev)
		}
	}
	return g
}

// listView is a generation of a list: a live one takes its progress from memory.
func (s *Server) listView(g *studio.Generation, live map[string]*studio.State) views.Generation {
	if state, ok := live[g.ID.String()]; ok && !g.Status.Ended() {
		return s.stateView(state)
	}
	return s.recordView(g, studio.RecordProgress(g))
}

// recordView is a generation of which the record alone is known.
func (s *Server) recordView(g *studio.Generation, p studio.Progress) views.Generation {
	id := g.ID.String()
	shown := views.Generation{
		ID: id, Prompt: g.Prompt, NegativePrompt: g.NegativePrompt, Workflow: g.Workflow,
		Status: string(g.Status), Error: g.ErrorMessage, Warnings: g.Warnings,
		Progress: progressView(p), Created: g.CreatedAt,
	}
	shown.Model, _ = g.Settings["model"].(string)
	if g.RetryOf != nil {
		shown.RetryOf = g.RetryOf.String()
	}
	if g.FinishedAt != nil {
		shown.Finished = *g.FinishedAt
	}
	if g.Status == studio.Complete && !shown.Finished.IsZero() {
		shown.Progress.Line = "Made in " + views.Took(shown.Finished.Sub(shown.Created))
		if p.Reused {
			shown.Progress.Line = "Reused an earlier result"
		}
	}
	for i := range g.Images {
		shown.Images = append(shown.Images, s.imageView(id, &g.Images[i]))
	}
	shown.Width, shown.Height = 1, 1 // of a workflow without a size: a square
	if len(shown.Images) > 0 {
		shown.Width, shown.Height = shown.Images[0].Width, shown.Images[0].Height
	}
	return shown
}

func (s *Server) imageView(id string, image *studio.Image) views.Image {
	shown := views.Image{
		Index: image.Index, Status: string(image.Status), Seed: strconv.FormatUint(image.Seed, 10),
		Server: image.Server, Error: image.ErrorMessage, Width: max(image.Width, 1), Height: max(image.Height, 1),
		Progress: progressView(studio.Progress{Phase: phaseOf(image.Status)}),
	}
	if image.StartedAt != nil {
		shown.Started = *image.StartedAt
	}
	for _, o := range image.Outputs {
		file := views.File{
			URL: s.paths.Output(id, image.Index, o.Index), Download: s.paths.Download(id, image.Index, o.Index),
			Use:  s.paths.UseOutput(id, image.Index, o.Index),
			Node: o.Node, MIME: o.MIME, Size: o.Size, Width: o.Width, Height: o.Height, SHA256: o.SHA256,
		}
		shown.Files = append(shown.Files, file)
		if shown.URL != "" || o.Kind != "image" {
			continue
		}
		shown.URL, shown.Thumbnail, shown.Color = file.URL, file.URL, o.Color
		if o.Thumbnail != "" {
			shown.Thumbnail = s.paths.Thumbnail(id, image.Index, o.Index)
		}
		if o.Width > 0 && o.Height > 0 {
			shown.Width, shown.Height = o.Width, o.Height
		}
	}
	return shown
}

// phaseOf is the phase that a status alone tells.
func phaseOf(status studio.Status) comfy.Phase {
	return status.Phase()
}

// barPaces are the times that the stylesheet knows for a bar to move, in milliseconds.
var barPaces = []int{100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 10000}

// progressView is p in the words of the page. The number is that of the whole; the sampler's own
// steps stand beside it. While nothing can be said the bar only breathes.
func progressView(p studio.Progress) views.Progress {
	shown := views.Progress{
		Phase: string(p.Phase), Line: p.Status, Percent: p.Overall, Reach: p.Reach, Cancelling: p.Cancelling, Retry: p.Retry,
		Known: p.Phase == comfy.PhaseComplete || p.Overall > 0 && p.Phase != comfy.PhaseQueued,
	}
	if p.Phase == "" {
		shown.Phase = string(comfy.PhaseQueued)
	}
	if shown.Line == "" {
		_, shown.Line = shown.Badge()
	}
	if p.ETAKnown && !p.Phase.Ended() && !p.Cancelling {
		shown.ETA, shown.Between = views.Left(p.ETA), views.LeftBetween(p.ETALow, p.ETAHigh)
	}
	if p.TotalSteps > 0 && !p.Reused && p.Phase == comfy.PhaseInference {
		shown.Steps = strconv.Itoa(p.Percentage) + "%"
	}
	if p.Passes > 1 && p.Pass > 0 && p.Phase == comfy.PhaseInference {
		shown.Pass = fmt.Sprintf("pass %d of %d", p.Pass, p.Passes)
	}
	if !p.Phase.Ended() && p.Phase != comfy.PhaseQueued {
		shown.Node = views.Short(p.NodeTitle, 60)
	}
	pace := barPaces[len(barPaces)-1]
	if at := slices.IndexFunc(barPaces, func(ms int) bool { return int64(ms) >= p.ReachIn.Milliseconds() }); at >= 0 {
		pace = barPaces[at]
	}
	shown.Pace = strconv.Itoa(pace)
	return shown
}

// settingsView is what a generation was made with, in the order and the words of its form. A value
// whose field the form does not know keeps its name.
func settingsView(form workflow.Form, g *studio.Generation) []views.Setting {
	var shown []views.Setting
	told := map[string]bool{}
	for _, field := range form.Fields {
		if value, ok := g.Settings[field.Name]; ok && !told[field.Name] {
			text := valueText(value)
			if text == "" && field.Kind == workflow.Choice {
				text = "The server's first"
			}
			setting := views.Setting{Label: field.Label, Value: text}
			if field.Kind == workflow.Image {
				setting.Upload = text
			}
			shown = append(shown, setting)
			told[field.Name] = true
		}
	}
	var rest []string
	for name := range g.Settings {
		if !told[name] {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range rest {
		shown = append(shown, views.Setting{Label: name, Value: valueText(g.Settings[name])})
	}
	return shown
}

// valueText is a value of workflow.Values as a form shows it.
func valueText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprint(value)
}

// recordOf is the record of a generation, attempt by attempt.
func recordOf(attempts []studio.Attempt) views.Record {
	var record views.Record
	again := make(map[int]string) // by image: why its next attempt was made
	for i := range attempts {
		a := &attempts[i]
		shown := views.Attempt{
			PromptID: a.PromptID, ImageIndex: a.ImageIndex, Number: a.Number, Server: a.Server,
			State: a.State, Why: again[a.ImageIndex], Error: a.ErrorMessage, Detail: a.ErrorDetail, Graph: indented(a.Graph),
		}
		if shown.Error == "" {
			shown.Error = a.Loss()
		}
		again[a.ImageIndex] = a.Again()
		before := a.CreatedAt
		for _, moment := range []struct {
			name string
			at   *time.Time
		}{
			{"Picked", &a.CreatedAt},
			{"Accepted by ComfyUI", a.SubmittedAt},
			{"Running", a.RunningAt},
			{"First step", a.SamplingAt},
			{"Found, having been taken for lost", a.AdoptedAt},
			{"Done in ComfyUI", a.FinalizingAt},
			{"Ended", a.FinishedAt},
		} {
			if moment.at == nil || moment.at.IsZero() {
				continue
			}
			m := views.Moment{Name: moment.name, At: *moment.at}
			if len(shown.Times) > 0 {
				m.Took = "+" + views.Took(max(0, moment.at.Sub(before)))
			}
			before = *moment.at
			shown.Times = append(shown.Times, m)
		}
		record.Attempts = append(record.Attempts, shown)
	}
	return record
}

// indented is JSON with one member a line; what is not JSON stays as it is.
func indented(graph []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, graph, "", "  ") != nil {
		return string(graph)
	}
	return b.String()
}

// stripView is the queue without what is on the stage, and the newest pictures.
func (s *Server) stripView(o *studio.Overview) views.Strip {
	strip := views.Strip{Now: o.At}
	for _, state := range o.Live {
		if o.Stage != nil && state.Generation.ID == o.Stage.Generation.ID {
			continue // it is shown large
		}
		if strip.Queue.Count++; strip.Queue.Count <= stripShown {
			strip.Queue.Shown = append(strip.Queue.Shown, s.queuedView(state, o.At))
		}
	}
	for _, state := range o.Recent {
		strip.Recent = append(strip.Recent, s.stateView(state))
	}
	return strip
}

// formValue is how a default is typed into a form.
func formValue(field workflow.FormField) string { return valueText(field.Default) }
