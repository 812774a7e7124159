package browser

import (
	"net/url"
	"strings"
	"testing"

	"easel/comfy/simulator"
)

// hostile are prompts that would do something if a page took them for anything but text.
var hostile = []string{
	`<script>window.ran='script'</script><img src=x onerror="window.ran='img'"><svg onload="window.ran='svg'">`,
	`'+(window.ran='quote')+'"><b id=forged>` + "`${window.ran='template'}`",
	`{{7*7}} ${window.ran=1} @post('/forged') $_net='down' data-init="window.ran='init'" </textarea></title></noscript><p id=forged>`,
	"innocent\r\revent: datastar-patch-elements\rdata: selector body\rdata: mode append\rdata: elements <p id=forged data-init=\"window.ran='event'\">x</p>\r\r",
	"\u202e gnp.live \u2066\u200b\ufeff zero\u200dwidth 👩\u200d🎨🏳️\u200d🌈 𝔘𝔫𝔦 \U0001F600\n{\"level\":\"ERROR\",\"msg\":\"forged log line\"}",
	`javascript:window.ran='link' "/><iframe src="javascript:parent.ran='frame'"> --> ]]> &lt;b&gt; &#x3c;i&#x3e;`,
}

// Whatever is written in a prompt is text on every page, in every stream and in every embed.
func TestPromptsAreText(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{led: true, env: []string{"EASEL_EMBED_ALLOWED_ORIGINS=http://localhost:1"}})
	var all []generation
	for i, text := range hostile {
		all = append(all, s.generate(ask{Prompt: text, NegativePrompt: text, Settings: map[string]any{"width": 64, "height": 64, "steps": 20, "seed": i}}))
		if got := s.read(all[i].ID).Prompt; got != text {
			t.Errorf("stored as %q, sent was %q", got, text)
		}
	}
	viewer, studio := Open(t, s.URL, TabOptions{}), Open(t, s.URL, TabOptions{})
	studio.Goto("/")
	for i, g := range all {
		s.afterStep(3)
		viewer.Goto("/generations/" + g.ID)
		s.afterStep(6) // after the page: this comes through the streams
		for _, tab := range []*Tab{viewer, studio} {
			tab.waitProgress(shown{Badge: "⚙️ Inferencing", Line: "Step 6 of 20", Steps: "30%"})
			harmless(t, tab, hostile[i])
		}
		s.until("the end", func(p simulator.Point) bool { return p.Stage == simulator.StageFinish })
		if i == len(all)-1 {
			s.lead.Open()
		}
		s.lead.Release()
		viewer.WaitText(".progress .badge", "Complete")
		harmless(t, viewer, hostile[i])
	}
	s.ended(all[len(all)-1].ID)
	crawl(t, s, viewer, all)
	if n := strings.Count(s.Log(), "\n{\"level\":\"ERROR\""); n != 0 {
		t.Error("a prompt has written a log line of its own")
	}
	viewer.NoComplaints()
	studio.NoComplaints()
}

// crawl looks at every page and embed, with each text where a visitor can put it.
func crawl(t *testing.T, s *site, tab *Tab, all []generation) {
	t.Helper()
	for i, g := range all {
		paths := append(sitePages(g.ID), "/gallery?q="+url.QueryEscape(hostile[i]), "/embed/generations/"+g.ID+"?fragment=1", "/embed/gallery?fragment=1")
		if i > 0 { // pages of everything are the same for all
			paths = []string{
				"/?from=" + g.ID, "/generations/" + g.ID, "/generations/" + g.ID + "/delete", "/gallery?q=" + url.QueryEscape(hostile[i]),
				"/embed/generations/" + g.ID, "/embed/generations/" + g.ID + "?fragment=1",
			}
		}
		for _, path := range paths {
			tab.Goto(path)
			harmless(t, tab, path)
		}
		tab.Goto("/?from=" + g.ID)
		if got, want := tab.value(prompt), asTyped(hostile[i]); got != want {
			t.Errorf("the form holds %q, want %q", got, want)
		}
		tab.Goto("/gallery?q=" + url.QueryEscape(hostile[i]))
		tab.Goto("/generations/" + g.ID)
		if got := Eval[string](tab, `document.querySelector('.prompt-text').textContent`); got != asTyped(hostile[i]) {
			t.Errorf("the page says %q, want %q", got, asTyped(hostile[i]))
		}
		if !Eval[bool](tab, `!!document.querySelector('.prompt-text bdi, bdi.prompt-text')`) {
			t.Error("a prompt is not kept apart from the text around it")
		}
	}
}

// asTyped is text as a page can hold it: HTML knows one kind of line end.
func asTyped(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// harmless fails the test when anything of a prompt has become more than text.
func harmless(t *testing.T, tab *Tab, what string) {
	t.Helper()
	if got := Eval[string](tab, `String(window.ran ?? '') +
		[...document.querySelectorAll('#forged, iframe, main script, [onerror], [onload], a[href^="javascript:"], main b#forged')].map(e => e.outerHTML).join()`); got != "" {
		t.Errorf("%q has become %q", what, got)
	}
}
