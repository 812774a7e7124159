package browser

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// prompt is where a visitor writes, and generate what they press then.
const (
	prompt       = `#composer [name=prompt]`
	generateHere = `#composer .go button`
)

// What the form offers and refuses, and what becomes of it: the whole of asking for a picture.
func TestPeopleAskForPictures(t *testing.T) {
	t.Parallel()
	s := open(t, siteOptions{})
	for _, part := range []struct {
		name string
		test func(*testing.T, *site, *Tab)
	}{
		{"choices and bounds are the server's", formOfServer},
		{"what is wrong is said at the field", formSaysWhatIsWrong},
		{"a double click is one generation", formDoubleClick},
		{"every setting arrives", formEverySetting},
		{"sizes are shapes", formShapes},
		{"several images", formSeveralImages},
		{"a seed is drawn, shown and kept", formSeed},
	} {
		t.Run(part.name, func(t *testing.T) {
			tab := Open(t, s.URL, TabOptions{})
			tab.Goto("/")
			part.test(t, s.in(t), tab)
			tab.NoComplaints()
		})
	}
}

func formOfServer(t *testing.T, s *site, tab *Tab) {
	var told struct {
		Workflows []struct {
			Fields []struct {
				Name, Kind string
				Min, Max   *float64
				Choices    []string
			}
		}
	}
	s.json("GET", "/api/workflows", nil, &told)
	fields := told.Workflows[0].Fields
	if len(fields) < 10 {
		t.Fatalf("the workflow has %d fields", len(fields))
	}
	for _, field := range fields {
		name := "settings." + field.Name
		if field.Name == "prompt" || field.Name == "negativePrompt" {
			name = field.Name
		}
		control := `#composer [name="` + name + `"]`
		if tab.Count(control) == 0 {
			t.Errorf("the form has no %s", name)
			continue
		}
		if labels := Eval[int](tab, `document.querySelector(`+quote(control)+`).labels.length`); labels == 0 {
			t.Errorf("%s has no label", name)
		}
		if field.Kind == "choice" {
			offered := Eval[[]string](tab, `[...document.querySelectorAll(`+quote(control+" option")+`)].map(o => o.value)`)
			if len(field.Choices) == 0 || !slices.Equal(offered, field.Choices) {
				t.Errorf("%s offers %q, the server has %q", name, offered, field.Choices)
			}
		}
		if (field.Kind == "integer" || field.Kind == "number") && field.Max != nil {
			got := Eval[[]string](tab, `(e => [e.min, e.max])(document.querySelector(`+quote(control)+`))`)
			want := []string{strconv.FormatFloat(*field.Min, 'f', -1, 64), strconv.FormatFloat(*field.Max, 'f', -1, 64)}
			if !slices.Equal(got, want) {
				t.Errorf("%s is bounded by %q, the server by %q", name, got, want)
			}
		}
	}
	if got := tab.value(`[name="settings.model"]`); got != models[0] {
		t.Errorf("the model chosen at first is %q, want %q", got, models[0])
	}
	if sampler := tab.Count(`[name="settings.sampler"] option`); sampler < 10 {
		t.Errorf("%d samplers", sampler)
	}
	if text := tab.Text("body"); strings.Contains(text, "Demo server") {
		t.Error("the demo's banner is shown with a ComfyUI of one's own")
	}
}

func formSaysWhatIsWrong(t *testing.T, s *site, tab *Tab) {
	tab.mark()
	tab.fill(prompt, "  ")
	tab.fill(`[name=negativePrompt]`, "blurry, \"text\"")
	tab.fill(`[name="settings.steps"]`, "0")
	tab.fill(`[name="settings.seed"]`, "1e3")
	tab.fill(`[name=totalImages]`, "65")
	tab.Click(generateHere)
	tab.Wait(`document.querySelector('[name="settings.steps"]').getAttribute('aria-invalid') === 'true'`)
	for name, message := range map[string]string{
		"prompt": "must not be empty", "settings.steps": "Steps", "settings.seed": "Seed", "totalImages": "between 1 and 64",
	} {
		if got := tab.complaint(name); !strings.Contains(got, message) {
			t.Errorf("at %s stands %q, want %q", name, got, message)
		}
	}
	if got := tab.complaint("settings.guidance"); got != "" {
		t.Errorf("at guidance stands %q", got)
	}
	for name, typed := range map[string]string{
		"prompt": "  ", "negativePrompt": `blurry, "text"`, "settings.steps": "0", "settings.seed": "1e3", "totalImages": "65",
	} {
		if got := tab.value(`#composer [name="` + name + `"]`); got != typed {
			t.Errorf("%s holds %q, %q was typed", name, got, typed)
		}
	}
	if !Eval[bool](tab, `document.querySelector('details.more').open`) {
		t.Error("a field that is wrong is hidden in closed settings")
	}
	tab.sameDocument()
	formByCtrlEnter(t, s, tab)
}

// smallPicture sets what makes no difference to a test and takes little time.
func (tab *Tab) smallPicture() {
	tab.t.Helper()
	tab.Click(`[name=shape][value=free]`)
	Eval[bool](tab, `document.querySelector('details.more').open = true`)
	for name, value := range map[string]string{"width": "64", "height": "64", "steps": "2"} {
		tab.fill(`[name="settings.`+name+`"]`, value)
	}
}

// complaint is what the form says about a control, tied to it for those who do not see it.
func (tab *Tab) complaint(name string) string {
	tab.t.Helper()
	return Eval[string](tab, `(e => e.getAttribute('aria-invalid') !== 'true' ? '' :
		(e.getAttribute('aria-describedby') ?? '').split(' ').map(id => document.getElementById(id))
		.filter(note => note?.classList.contains('error') && note.checkVisibility()).map(note => note.textContent).join())(
		document.querySelector('#composer [name=`+quote(name)+`]'))`)
}

// The mended form is taken, stays as it is for the next picture, and loses its complaints.
func formByCtrlEnter(t *testing.T, s *site, tab *Tab) {
	tab.fill(`[name="settings.steps"]`, "3")
	tab.fill(`[name="settings.seed"]`, "")
	tab.fill(`[name=totalImages]`, "1")
	tab.Type(prompt, "A harbour at dawn")
	tab.Keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl))
	g := s.newest(0)
	if g.Prompt != "A harbour at dawn" || g.NegativePrompt != `blurry, "text"` || g.Settings.Steps != 3 || g.Settings.Model != models[0] {
		t.Errorf("generation = %+v", g)
	}
	tab.WaitText("#stage .badge", "Complete")
	tab.Wait(`document.querySelectorAll('#composer [aria-invalid=true]').length === 0`)
	if got := tab.value(prompt); got != "A harbour at dawn" {
		t.Errorf("after Generate the prompt is %q", got)
	}
	tab.sameDocument()
}

func formDoubleClick(t *testing.T, s *site, tab *Tab) {
	tab.mark()
	tab.smallPicture()
	before, nonce := len(s.all()), tab.value("#nonce")
	tab.Type(prompt, "Two clicks")
	tab.DoubleClick(generateHere)
	tab.Wait(`document.querySelector('#nonce').value !== ` + quote(nonce))
	// And as nobody clicks: two posts of one form at once, before the page could tell.
	nonce = tab.value("#nonce")
	Eval[bool](tab, `(b => { b.form.requestSubmit(); b.form.requestSubmit(); return true })(document.querySelector(`+quote(generateHere)+`))`)
	tab.Wait(`document.querySelector('#nonce').value !== ` + quote(nonce))
	if got := len(s.all()) - before; got != 2 {
		t.Errorf("a double click and a double post made %d generations, want one each", got)
	}
	tab.sameDocument()
}

func formEverySetting(t *testing.T, s *site, tab *Tab) {
	before := len(s.all())
	tab.Click("details.more summary")
	tab.fill(prompt, "Everything else than usual")
	tab.fill(`[name=negativePrompt]`, "fog")
	tab.fill(`[name="settings.model"]`, models[1])
	tab.Click(`[name=shape][value=free]`)
	for name, value := range map[string]string{
		"width": "128", "height": "72", "steps": "4", "guidance": "6.5", "sampler": "dpmpp_2m", "scheduler": "karras", "seed": "18446744073709551615",
	} {
		tab.fill(`[name="settings.`+name+`"]`, value)
	}
	tab.Click(generateHere)
	g := s.newest(before)
	got := g.Settings
	if g.NegativePrompt != "fog" || got.Model != models[1] || got.Width != 128 || got.Height != 72 || got.Steps != 4 ||
		got.Guidance != 6.5 || got.Sampler != "dpmpp_2m" || got.Scheduler != "karras" || got.Seed != 1<<64-1 {
		t.Errorf("settings = %+v", got)
	}
	s.ended(g.ID)
	tab.Goto("/") // the cookie remembers that more settings were open
	if !Eval[bool](tab, `document.querySelector('details.more').open`) {
		t.Error("more settings are closed again")
	}
}

func formShapes(t *testing.T, s *site, tab *Tab) {
	before := len(s.all())
	shapes := Eval[[]string](tab, `[...document.querySelectorAll('[name=shape]')].map(e => e.closest('label').innerText.split(/[\n,]/)[0].trim())`)
	if want := []string{"1:1", "3:2", "2:3", "16:9", "9:16", "Free"}; !slices.Equal(shapes, want) {
		t.Fatalf("shapes = %q, want %q", shapes, want)
	}
	if Eval[bool](tab, `document.querySelector('[name="settings.width"]').checkVisibility()`) {
		t.Error("width is shown although a shape is chosen")
	}
	tab.fill(prompt, "A wide view")
	tab.Click(`label.shape:nth-of-type(2)`)
	Eval[bool](tab, `document.querySelector('details.more').open = true`)
	tab.fill(`[name="settings.steps"]`, "1")
	tab.Click(generateHere)
	g := s.newest(before)
	if ratio := float64(g.Settings.Width) / float64(g.Settings.Height); ratio < 1.4 || ratio > 1.6 || g.Settings.Width%64 != 0 {
		t.Errorf("3:2 is %d x %d", g.Settings.Width, g.Settings.Height)
	}
	tab.Click(`[name=shape][value=free]`)
	tab.Wait(`document.querySelector('[name="settings.width"]').checkVisibility()`)
	tab.fill(`[name="settings.width"]`, "512.5")
	tab.Click(generateHere)
	tab.Wait(`document.querySelector('[name="settings.width"]').getAttribute('aria-invalid') === 'true'`)
	if got := tab.complaint("settings.width"); !strings.Contains(got, "Width") || tab.value(`[name="settings.width"]`) != "512.5" {
		t.Errorf("at width stands %q, it holds %q", got, tab.value(`[name="settings.width"]`))
	}
	s.ended(g.ID)
}

func formSeveralImages(t *testing.T, s *site, tab *Tab) {
	before := len(s.all())
	tab.smallPicture()
	tab.fill(prompt, "Three of a kind")
	tab.fill(`[name=totalImages]`, "3")
	tab.fill(`[name="settings.seed"]`, "9007199254740993")
	tab.Click(generateHere)
	g := s.newest(before)
	tab.Wait(`document.querySelectorAll('#stage figure[data-status=complete] a img').length === 3`)
	if got := tab.Count("#stage .frame"); got != 3 {
		t.Errorf("%d frames", got)
	}
	tab.WaitText("#stage .badge", "Complete")
	for i, image := range s.ended(g.ID).Images {
		if want := uint64(9007199254740993 + i); image.Seed != want {
			t.Errorf("seed of image %d is %d, want %d", i+1, image.Seed, want)
		}
	}
	tab.Goto("/generations/" + g.ID)
	for _, seed := range []string{"9007199254740993", "9007199254740994", "9007199254740995"} {
		if !strings.Contains(tab.Text("#record"), seed) {
			t.Errorf("the record does not name seed %s", seed)
		}
	}
}

func formSeed(t *testing.T, s *site, tab *Tab) {
	before := len(s.all())
	if got := tab.value(`[name="settings.seed"]`); got != "" {
		t.Errorf("the seed is %q at first, want it empty", got)
	}
	tab.smallPicture()
	tab.fill(prompt, "A seed of its own")
	tab.Click(generateHere)
	g := s.newest(before)
	seed := strconv.FormatUint(g.Settings.Seed, 10)
	tab.Wait(`document.querySelector('#stage [data-seed]')?.dataset.seed === ` + quote(seed))
	tab.Click(`button[title^="Keep the seed"]`)
	if got := tab.value(`[name="settings.seed"]`); got != seed {
		t.Errorf("the lock gives %q, want %s", got, seed)
	}
	tab.Click(`button[title^="A random seed"]`)
	if got := tab.value(`[name="settings.seed"]`); got != "" {
		t.Errorf("the die leaves %q", got)
	}
	s.ended(g.ID)
	tab.Goto("/generations/" + g.ID)
	tab.WaitText("#record", seed)
}
