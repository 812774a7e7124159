package workflow

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Parameters are what Stable Diffusion WebUI and its relatives write into pictures:
//
//	a lighthouse at dusk
//	Negative prompt: blurry
//	Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model: name
type Parameters struct {
	Prompt         string
	NegativePrompt string
	Settings       map[string]string // the last line: "CFG scale" is "7"; the first of a name counts
}

const negativePrefix = "Negative prompt:"

// ParseParameters reads them; ok is false for any other text. Either prompt may be missing or have
// many lines; the settings are the last line that begins with its steps.
func ParseParameters(text string) (p *Parameters, ok bool) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	last := len(lines) - 1
	for last >= 0 && !strings.HasPrefix(strings.TrimSpace(lines[last]), "Steps:") {
		last--
	}
	if last < 0 {
		return nil, false
	}
	p = &Parameters{Settings: settingsOf(lines[last])}
	if p.Settings["Sampler"] == "" && p.Settings["Seed"] == "" {
		return nil, false // prose that begins so
	}
	prompts := lines[:last]
	negative := slices.IndexFunc(prompts, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), negativePrefix) })
	if negative >= 0 {
		text := strings.Join(prompts[negative:], "\n")
		p.NegativePrompt = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), negativePrefix))
		prompts = prompts[:negative]
	}
	p.Prompt = strings.TrimSpace(strings.Join(prompts, "\n"))
	return p, true
}

// settingsOf reads "Name: value, Name: value". A value that begins with a quote or a bracket ends with
// it, and may hold commas.
func settingsOf(line string) map[string]string {
	const most = 200
	settings := map[string]string{}
	for range most {
		name, rest, ok := strings.Cut(line, ":")
		if !ok {
			break
		}
		rest = strings.TrimLeft(rest, " ")
		end := valueEnd(rest)
		value := strings.TrimSpace(rest[:end])
		if isString(json.RawMessage(value)) && json.Valid([]byte(value)) {
			if s, err := unquote([]byte(value)); err == nil {
				value = s
			}
		}
		if name = strings.TrimSpace(name); isSettingName(name) && settings[name] == "" {
			settings[name] = value
		}
		line = strings.TrimPrefix(rest[end:], ",")
	}
	return settings
}

// isSettingName keeps to what programs call their settings; anything else is a piece of something.
func isSettingName(name string) bool {
	const most = 60
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" -_/+().", r)
	}
	return name != "" && len(name) <= most && !strings.ContainsFunc(name, odd)
}

// valueEnd is where the value ends that s begins with.
func valueEnd(s string) int {
	from := 0
	if s != "" && s[0] == '"' {
		if end := stringEnd([]byte(s), 0); end < len(s) || strings.HasSuffix(s, `"`) {
			from = end
		}
	}
	if s != "" && (s[0] == '[' || s[0] == '{') {
		if end := bracketEnd(s); end > 0 {
			from = end
		}
	}
	if comma := strings.IndexByte(s[from:], ','); comma >= 0 {
		return from + comma
	}
	return len(s)
}

// bracketEnd is the place after the bracket that closes the first one; 0 when none does.
func bracketEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = stringEnd([]byte(s), i) - 1
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// Values are the parameters as settings of a form that has the fields of the built-in text-to-image
// workflow, and in sentences what could not be taken over or had to be changed. What the form lacks
// or does not offer is left to its default.
func (p *Parameters) Values(form Form) (values map[string]json.RawMessage, warnings []string) {
	t := takeOver{form: form, values: map[string]json.RawMessage{}}
	t.text("prompt", p.Prompt)
	t.text("negativePrompt", p.NegativePrompt)
	t.number("steps", p.Settings["Steps"])
	t.number("guidance", p.Settings["CFG scale"])
	if width, height, ok := strings.Cut(p.Settings["Size"], "x"); ok {
		t.number("width", width)
		t.number("height", height)
	}
	t.seed(p.Settings["Seed"])
	t.sampler(p.Settings["Sampler"], p.Settings["Schedule type"])
	t.model(p.Settings["Model"])
	t.loras(p.Prompt)
	t.rest(p.Settings)
	return t.values, t.warnings
}

type takeOver struct {
	form     Form
	values   map[string]json.RawMessage
	warnings []string
}

func (t *takeOver) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

func (t *takeOver) text(name, value string) {
	if _, has := t.form.Field(name); has && value != "" {
		t.values[name] = textJSON(value)
	}
}

// number takes a number that the field takes, or the nearest one.
func (t *takeOver) number(name, value string) {
	ff, has := t.form.Field(name)
	value = strings.TrimSpace(value)
	if !has || value == "" {
		return
	}
	raw := textJSON(value)
	if _, complaint := ff.parse(raw); complaint == "" {
		t.values[name] = raw
		return
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || !finite(v) || !ff.Bounded {
		t.warn("%s is %s there, which is no number to use.", ff.Label, show(value))
		return
	}
	v = min(max(v, ff.Min), ff.Max)
	if ff.Kind == Integer {
		v = nearest(v, &ff)
	}
	raw = textJSON(plain(v))
	if _, complaint := ff.parse(raw); complaint == "" {
		t.values[name] = raw
		t.warn("%s is %s instead of %s, which this form does not take.", ff.Label, plain(v), show(value))
	}
}

func (t *takeOver) seed(value string) {
	ff, has := t.form.Field("seed")
	if !has || value == "" {
		return
	}
	raw := textJSON(value)
	if _, complaint := ff.parse(raw); complaint != "" {
		t.warn("The seed %s cannot be used; another will be drawn.", show(value))
		return
	}
	t.values["seed"] = raw
}

// offers reports whether a choice can be made: one without a list takes any text.
func (t *takeOver) offers(name, value string) bool {
	ff, has := t.form.Field(name)
	return has && (len(ff.Choices) == 0 || slices.Contains(ff.Choices, value))
}

// samplerNames are ComfyUI's names of the samplers that others call otherwise; all but a few are the
// same letters.
var samplerNames = map[string]string{
	"euler a":             "euler_ancestral",
	"dpm2":                "dpm_2",
	"dpm2 a":              "dpm_2_ancestral",
	"dpm++ 2s a":          "dpmpp_2s_ancestral",
	"dpm++ 2m":            "dpmpp_2m",
	"dpm++ sde":           "dpmpp_sde",
	"dpm++ 2m sde":        "dpmpp_2m_sde",
	"dpm++ 2m sde heun":   "dpmpp_2m_sde_heun",
	"dpm++ 3m sde":        "dpmpp_3m_sde",
	"dpm fast":            "dpm_fast",
	"dpm adaptive":        "dpm_adaptive",
	"unipc":               "uni_pc",
	"heunpp2":             "heunpp2",
	"ddim cfg++":          "ddim",
	"euler cfg++":         "euler_cfg_pp",
	"euler a cfg++":       "euler_ancestral_cfg_pp",
	"dpm++ 2m cfg++":      "dpmpp_2m_cfg_pp",
	"dpm++ 2s a cfg++":    "dpmpp_2s_ancestral_cfg_pp",
	"res multistep":       "res_multistep",
	"seeds 2":             "seeds_2",
	"seeds 3":             "seeds_3",
	"sa solver":           "sa_solver",
	"er sde":              "er_sde",
	"deis":                "deis",
	"ipndm":               "ipndm",
	"gradient estimation": "gradient_estimation",
}

// schedulerNames are ComfyUI's names of the schedules.
var schedulerNames = map[string]string{
	"karras": "karras", "exponential": "exponential", "polyexponential": "exponential",
	"sgm uniform": "sgm_uniform", "uniform": "normal", "normal": "normal", "simple": "simple",
	"ddim": "ddim_uniform", "ddim uniform": "ddim_uniform", "beta": "beta", "kl optimal": "kl_optimal",
	"linear quadratic": "linear_quadratic",
}

// automatic are the schedules that WebUI picks for a sampler when it is left to.
var automatic = map[string]string{
	"dpmpp_2m": "karras", "dpmpp_sde": "karras", "dpmpp_2s_ancestral": "karras", "dpm_2": "karras", "dpm_2_ancestral": "karras",
	"dpmpp_2m_sde": "exponential", "dpmpp_2m_sde_heun": "exponential", "dpmpp_3m_sde": "exponential",
}

// sampler takes the sampler and its schedule, which older versions wrote as one: "DPM++ 2M Karras".
func (t *takeOver) sampler(name, schedule string) {
	if name == "" {
		return
	}
	sampler, scheduler := splitSampler(name)
	if schedule != "" {
		scheduler = strings.ToLower(schedule)
	}
	if sampler == "" || !t.offers("sampler", sampler) {
		t.warn("The sampler %s is not known here.", show(name))
		return
	}
	t.values["sampler"] = textJSON(sampler)
	t.schedule(sampler, strings.ReplaceAll(scheduler, "_", " "))
}

// schedule takes a schedule by WebUI's name for it; versions before schedules had names used the plain one.
func (t *takeOver) schedule(sampler, name string) {
	known := schedulerNames[name]
	switch name {
	case "":
		known = "normal"
	case "automatic":
		if known = automatic[sampler]; known == "" {
			known = "normal"
		}
	}
	if known == "" || !t.offers("scheduler", known) {
		t.warn("The schedule %s is not known here.", show(name))
		return
	}
	t.values["scheduler"] = textJSON(known)
}

// splitSampler is ComfyUI's name of a sampler, and the schedule that stands behind it, in lower case.
func splitSampler(name string) (sampler, scheduler string) {
	name = strings.ToLower(strings.TrimSpace(name))
	for {
		if known, ok := samplerNames[strings.ReplaceAll(name, "_", " ")]; ok {
			return known, scheduler
		}
		at := strings.LastIndexAny(name, " _")
		if at < 0 || scheduler != "" {
			return strings.ReplaceAll(name, " ", "_"), scheduler
		}
		if _, ok := schedulerNames[name[at+1:]]; !ok {
			return strings.ReplaceAll(name, " ", "_"), scheduler
		}
		name, scheduler = name[:at], name[at+1:]
	}
}

// model finds the model by its name without folder and ending, which is all that is written.
func (t *takeOver) model(name string) {
	ff, has := t.form.Field("model")
	if !has || name == "" {
		return
	}
	for _, choice := range ff.Choices {
		file := path.Base(strings.ReplaceAll(choice, `\`, "/"))
		if strings.EqualFold(choice, name) || strings.EqualFold(file, name) || IsModelFile(file) && strings.EqualFold(strings.TrimSuffix(file, path.Ext(file)), name) {
			t.values["model"] = textJSON(choice)
			return
		}
	}
	t.warn("The model %s is not here.%s", show(name), didYouMean(name, ff.Choices))
}

// loras says which ones the prompt asks for: to ComfyUI they are text like any other.
func (t *takeOver) loras(prompt string) {
	const most = 5
	var names []string
	for rest := prompt; len(names) < most; {
		_, after, ok := strings.Cut(rest, "<lora:")
		if !ok {
			break
		}
		tag, _, closed := strings.Cut(after, ">")
		if closed {
			name, _, _ := strings.Cut(tag, ":")
			names = append(names, show(name))
		}
		rest = after
	}
	if len(names) > 0 {
		t.warn("LoRAs are not loaded by this workflow, and stay in the prompt as text: %s.", strings.Join(names, ", "))
	}
}

// harmless settings change nothing about the picture, or were read.
var harmless = []string{
	"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "Model hash", "VAE hash", "Version", "Hashes",
	"Lora hashes", "TI hashes", "TI", "RNG", "User", "Civitai resources", "Civitai metadata", "Created Date", "Template", "Negative Template",
}

// rest names what the form has no place for.
func (t *takeOver) rest(settings map[string]string) {
	const most = 10
	var left []string
	for _, name := range sortedKeys(settings) {
		if slices.Contains(harmless, name) || len(left) == most {
			continue
		}
		left = append(left, fmt.Sprintf("%s %s", name, show(settings[name])))
	}
	if len(left) > 0 {
		t.warn("This form has no field for: %s.", strings.Join(left, ", "))
	}
}
