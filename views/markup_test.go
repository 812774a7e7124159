package views

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
)

// payloads are texts that must be shown as they are, wherever a visitor's or a server's text goes.
var payloads = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	`'+alert(1)+'`,
	`{{7*7}} ${7*7} @post('/x') $_net`,
	`</title></textarea></style><svg onload=alert(1)>`,
	"line\r\rdata: elements <b id=forged>x</b>\r\n\r\n",
	"\u202egnp.exe \u200b\U0001F3D4\uFE0F",
	`javascript:alert(1)`,
}

// everywhere is every component, with a text in each place that takes text from outside.
func everywhere(s Site, x string) map[string]templ.Component {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	file := File{URL: "/u", Download: "/d", Node: x, MIME: x, Size: 1, Width: 1, Height: 1}
	image := Image{Index: 1, Status: "complete", Seed: "1", Server: x, Error: x, Width: 3, Height: 2, URL: "/u", Thumbnail: "/t", Files: []File{file}}
	failed := Image{Index: 2, Status: "failed", Seed: "2", Error: x, Width: 3, Height: 2, Progress: Progress{Phase: "failed", Line: x}}
	g := Generation{
		ID: "id", Prompt: x, NegativePrompt: x, Workflow: x, Status: "failed", Error: x, Warnings: []string{x}, Width: 3, Height: 2,
		Images: []Image{image, failed}, Progress: Progress{Phase: "inference", Line: x, Known: true, Percent: 5, ETA: x, Steps: x, Pass: x, Node: x}, Created: now,
	}
	bare := g
	bare.Images = []Image{failed}
	p := Page{Site: s, Title: x, Theme: ThemeAuto, Here: "/studio/", Status: Status{Servers: x, Health: "good", Live: 1}}
	field := func(kind string, choices ...string) Field {
		return Field{Name: "settings." + kind, Label: x, Help: x, Kind: kind, Value: x, Choices: choices, Error: x}
	}
	composer := Composer{
		Workflow: x, Workflows: []WorkflowLink{{Title: x, URL: "/w"}}, Nonce: x, RetryOf: x, Prompt: field("text"), Problem: x,
		Images: field("integer"), Main: []Field{field("choice", x, "other"), field("choice")},
		More: []Field{field("seed"), field("boolean"), field("number"), field("text")},
	}
	strip := Strip{Queue: QueueList{Count: 1, Shown: []Queued{{Generation: g}}}, Recent: []Generation{g, bare}, Now: now}
	record := Record{Attempts: []Attempt{{PromptID: x, ImageIndex: 1, Number: 2, Server: x, State: x, Error: x, Detail: x, Graph: x, Times: []Moment{{Name: x, At: now, Took: x}}}}}
	report := &ServerReport{Address: x, Checks: []ServerCheck{{Name: x, Verdict: "bad", Words: x}}}
	servers := ServersView{Now: now, Servers: []Server{
		{
			ID: "s1", Name: x, URL: x, Version: x, Devices: []Device{{Name: x, VRAMTotal: 2, VRAMUsed: 1}}, Error: x, State: "down", Mode: "active",
			Run: &Run{Generation: g, Image: image}, Report: report, Rename: Field{Value: x, Error: x},
		},
		{ID: "s2", Name: x, Origin: x, State: "up", Mode: "draining", Ours: 2},
	}, Form: ServerForm{URL: Field{Name: "url", Value: x, Error: x}, Name: Field{Name: "name", Value: x, Error: x}, Report: report, Anyway: true, Done: x}}
	timeline := Timeline{Runs: 3, Measured: 1, URL: "/t", Images: []ImageTimeline{{Index: 1, Usual: time.Minute, Spans: []Span{
		{Name: x, Node: x, Kind: SpanSample, End: time.Second, Usual: time.Hour, Passes: []Pass{{0, time.Second, 3}}}, {Name: x, Cached: true},
	}}}}
	timelines := Timeline{URL: "/t", Images: []ImageTimeline{timeline.Images[0], timeline.Images[0]}}
	calibration := CalibrationView{
		Count: 1, Phases: []PhaseErrors{{Name: x}}, Curve: []CurvePoint{{}, {}}, Ranged: 1, Now: now,
		Runs: []CalibratedRun{{Generation: "id", Prompt: x, Image: 2, At: now, Said: x}},
	}
	return map[string]templ.Component{
		"studio":      StudioPage(p, StudioView{Stage: &g, Strip: strip, Composer: composer}),
		"gallery":     GalleryPage(p, Gallery{Query: x, Cards: []Generation{g, bare}, Now: now}),
		"queue":       QueuePage(p, QueueView{Paused: true, Running: strip.Queue, Waiting: strip.Queue, Held: strip.Queue}),
		"generation":  GenerationPage(p, GenerationView{Generation: g, Settings: []Setting{{Label: x, Value: x}}, Record: record, Timeline: timeline}),
		"delete":      DeletePage(p, g),
		"servers":     ServersPage(p, servers),
		"settings":    SettingsPage(p, SettingsView{InForce: []InForce{{x, x, x}}}),
		"timelines":   TimelineSection(s, timelines),
		"calibration": CalibrationPage(p, calibration),
		"error":       ErrorPage(p, ErrorView{Code: 404, Title: x, Message: x, Advice: x}),
		"notice":      Notice(ErrorView{Code: 409, Message: x}),
		"embed":       EmbedPage(p),
		"embedded":    EmbedGeneration(s, g, "/link"),
		"embeds":      EmbedGallery(s, []Generation{g, bare}, []string{"/a", "/b"}),
	}
}

// With any text, a component has the same elements with the same attributes as with a plain word.
func TestTextStaysText(t *testing.T) {
	site := testSite(t)
	shape := func(c templ.Component) string {
		var b strings.Builder
		for _, node := range parsed(t, c).Find("*").Nodes {
			b.WriteString(node.Data)
			for _, attribute := range node.Attr {
				b.WriteString(" " + attribute.Key)
				if strings.HasPrefix(attribute.Key, "data-on") || attribute.Key == "data-init" || attribute.Key == "data-text" {
					b.WriteString("=" + attribute.Val)
				}
			}
			b.WriteByte('\n')
		}
		return b.String()
	}
	plain := everywhere(site, "word")
	for i, payload := range payloads {
		for name, component := range everywhere(site, payload) {
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) {
				if got, want := shape(component), shape(plain[name]); got != want {
					t.Errorf("%q changes the elements of the page", payload)
				}
			})
		}
	}
}

func TestPromptIsShownWhole(t *testing.T) {
	site := testSite(t)
	for _, payload := range payloads {
		doc := parsed(t, everywhere(site, payload)["generation"])
		got := doc.Find(".prompt-text bdi").First().Text()
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(payload) // as HTML parsers read it
		if got != want {
			t.Errorf("prompt %q is shown as %q", payload, got)
		}
	}
}
