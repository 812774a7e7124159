package handlers

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/studio"
	"easel/views"
)

// composer is the form of a workflow filled with what was typed, by the name of the control; what
// is absent shows its default. Nothing in it is a fixed list of fields: the workflow says which
// there are. Only the size has a layout of its own.
func (s *Server) composer(r *http.Request, form workflow.Form, typed map[string]string) views.Composer {
	c := views.Composer{
		Workflow: form.ID, Title: form.Title, Nonce: uuid.NewString(), PromptRunes: studio.MaxPromptRunes,
		Prompt: views.Field{Name: "prompt", Label: "Prompt", Kind: "text", Value: shownText(typed["prompt"])},
		Images: views.Field{
			Name: "totalImages", Label: "Images", Kind: "integer", Value: "1",
			Min: "1", Max: strconv.Itoa(studio.MaxImages), Step: "1",
		},
	}
	if text, ok := typed["totalImages"]; ok {
		c.Images.Value = shownText(text)
	}
	if cookie, err := r.Cookie(moreCookie); err == nil {
		c.MoreOpen = cookie.Value == "1"
	}
	for _, other := range s.studio.Workflows() {
		if other.HasGraph {
			c.Workflows = append(c.Workflows, views.WorkflowLink{
				Title: other.Title, URL: s.paths.UseWorkflow(other.ID), Present: other.ID == form.ID,
			})
		}
	}
	fillComposer(&c, form, typed, s.studio.Away(r.Context(), form.ID))
	c.More = append(c.More, s.webhookField(typed))
	return c
}

// fillComposer puts the fields of a form where they are shown.
func fillComposer(c *views.Composer, form workflow.Form, typed map[string]string, away map[string]map[string]bool) {
	c.NoPrompt = true
	width, hasWidth := form.Field("width")
	height, hasHeight := form.Field("height")
	for _, field := range form.Fields {
		shown := fieldView(field, typed)
		shown.Away = away[field.Name]
		switch {
		case field.Name == "prompt":
			c.NoPrompt = false
			if _, ok := typed["prompt"]; !ok {
				c.Prompt.Value = formValue(field)
			}
			c.Prompt.Label = orText(field.Label, c.Prompt.Label) // its placeholder is help enough
		case hasWidth && hasHeight && (field.Name == "width" || field.Name == "height"):
			c.Size = append(c.Size, shown)
		case field.Group == workflow.GroupMain && field.Name != "negativePrompt":
			c.Main = append(c.Main, shown)
		case field.Group == workflow.GroupMore || field.Name == "negativePrompt":
			c.More = append(c.More, shown)
		default:
			at := slices.IndexFunc(c.Groups, func(g views.FieldGroup) bool { return g.Title == field.Group })
			if at < 0 {
				at = len(c.Groups)
				c.Groups = append(c.Groups, views.FieldGroup{Title: field.Group})
			}
			c.Groups[at].Fields = append(c.Groups[at].Fields, shown)
		}
	}
	if hasWidth && hasHeight {
		c.Shapes = shapes(width, height)
		c.Free = !checkShape(c.Shapes, typed, width, height)
	}
}

// webhookField asks for an address of this generation's own.
func (s *Server) webhookField(typed map[string]string) views.Field {
	empty := "nowhere"
	if s.studio.Settings().Webhook != "" {
		empty = "the address of the settings"
	}
	return views.Field{
		Name: webhookControl, Label: "Webhook", Kind: "url", Value: shownText(typed[webhookControl]),
		Help: "Where its record is posted when it has ended. Empty: " + empty + ".",
	}
}

// fieldView is the control of one field.
func fieldView(field workflow.FormField, typed map[string]string) views.Field {
	name := settingPrefix + field.Name
	if field.Name == "negativePrompt" {
		name = field.Name // like the prompt it is no setting
	}
	shown := views.Field{
		Name: name, Label: orText(field.Label, field.Name), Help: field.Help, Kind: string(field.Kind),
		Value: formValue(field), Choices: field.Choices,
	}
	if text, ok := typed[name]; ok {
		shown.Value = shownText(text)
	}
	if field.Bounded {
		shown.Min, shown.Max = number(field.Min), number(field.Max)
	}
	switch {
	case field.Step > 0:
		shown.Step = number(field.Step)
	case field.Kind == workflow.Integer:
		shown.Step = "1"
	}
	return shown
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// shownText is typed text as a page may hold it.
func shownText(text string) string { return strings.ToValidUTF8(text, "�") }

func orText(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// shapeRatios are the sizes that are chosen by their look.
var shapeRatios = []struct {
	label string
	w, h  float64
}{
	{"1:1", 1, 1}, {"3:2", 3, 2}, {"2:3", 2, 3}, {"16:9", 16, 9}, {"9:16", 9, 16},
}

// shapes are the sizes of each ratio with about as many pixels as the workflow's own default, in
// steps that models like (64 pixels, else the field's own), within the bounds. One that the
// bounds would bend out of shape is left out.
func shapes(width, height workflow.FormField) []views.Shape {
	var all []views.Shape
	for _, ratio := range shapeRatios {
		w, h := fitted(width, height, ratio.w/ratio.h)
		if got := w / h; got < ratio.w/ratio.h*0.9 || got > ratio.w/ratio.h*1.1 {
			continue
		}
		all = append(all, views.Shape{
			Label: ratio.label, Value: number(w) + "x" + number(h), Width: int(w), Height: int(h),
		})
	}
	return all
}

// fitted is the size of a ratio with about as many pixels as the workflow's own default.
func fitted(width, height workflow.FormField, ratio float64) (w, h float64) {
	area := whole(width.Default) * whole(height.Default)
	if area <= 0 {
		area = 1024 * 1024
	}
	return fit(math.Sqrt(area*ratio), width), fit(math.Sqrt(area/ratio), height)
}

// fit rounds v to a step that a model likes, within the bounds of the field.
func fit(v float64, field workflow.FormField) float64 {
	step := 64.0
	if field.Step > 0 && math.Mod(step, field.Step) != 0 {
		step = field.Step
	}
	v = math.Round(v/step) * step
	if field.Bounded {
		v = min(max(v, field.Min), field.Max)
	}
	return v
}

func whole(value any) float64 {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case int:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

// checkShape checks the shape that was chosen, or the one that width and height make; false: none.
func checkShape(all []views.Shape, typed map[string]string, width, height workflow.FormField) bool {
	chosen := typed["shape"]
	if chosen == "" {
		w, h := formValue(width), formValue(height)
		if text, ok := typed[settingPrefix+"width"]; ok {
			w = text
		}
		if text, ok := typed[settingPrefix+"height"]; ok {
			h = text
		}
		chosen = w + "x" + h
	}
	for i := range all {
		if all[i].Value == chosen {
			all[i].Checked = true
			return true
		}
	}
	return false
}

// complain puts problems at their fields; those about no control stand above the form.
func complain(c *views.Composer, problems []studio.FieldError) {
	fields := []*views.Field{&c.Prompt, &c.Images}
	all := [][]views.Field{c.Size, c.Main, c.More}
	for _, group := range c.Groups {
		all = append(all, group.Fields)
	}
	for _, group := range all {
		for i := range group {
			fields = append(fields, &group[i])
		}
	}
	for _, problem := range problems {
		found := false
		for _, field := range fields {
			if field.Name == problem.Field || field.Name == settingPrefix+problem.Field {
				field.Error, found = sentence(field.Label, problem.Message), true
				break
			}
		}
		if !found {
			c.Problem = strings.TrimSpace(c.Problem + " " + sentence(problem.Field, problem.Message))
		}
	}
	for _, field := range c.Size { // a size that is wrong must be in sight
		c.Free = c.Free || field.Error != ""
	}
	if c.Free {
		for i := range c.Shapes {
			c.Shapes[i].Checked = false
		}
	}
}

// sentence is a complaint for people: those that begin in lower case say what the field must be.
func sentence(subject, message string) string {
	if message == "" {
		message = "needs another value"
	}
	if first := message[0]; first >= 'a' && first <= 'z' {
		message = subject + " " + message
	}
	if last := message[len(message)-1]; last != '.' && last != '?' {
		message += "."
	}
	return message
}
