package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParseParameters(t *testing.T) {
	for name, tt := range map[string]struct {
		text, prompt, negative string
		settings               map[string]string
	}{
		"all of it": {
			"a cat\nin a hat\nNegative prompt: blurry\nugly\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768",
			"a cat\nin a hat", "blurry\nugly",
			map[string]string{"Steps": "20", "Sampler": "Euler a", "CFG scale": "7", "Seed": "1", "Size": "512x768"},
		},
		"no negative prompt":     {"a cat\r\nSteps: 1, Sampler: Euler", "a cat", "", map[string]string{"Steps": "1", "Sampler": "Euler"}},
		"no prompt":              {"Negative prompt: x\nSteps: 1, Seed: 5", "", "x", map[string]string{"Steps": "1", "Seed": "5"}},
		"settings alone":         {"Steps: 1, Seed: 5", "", "", map[string]string{"Steps": "1", "Seed": "5"}},
		"a colon in the prompt":  {"Steps: of stone\n(a:1.2)\nSteps: 1, Seed: 5", "Steps: of stone\n(a:1.2)", "", map[string]string{"Steps": "1", "Seed": "5"}},
		"quotes and commas":      {"x\nSteps: 1, Lora hashes: \"a: b, c: d\", Seed: 5", "x", "", map[string]string{"Steps": "1", "Lora hashes": "a: b, c: d", "Seed": "5"}},
		"JSON inside":            {"x\nSteps: 1, Seed: 5, Civitai resources: [{\"type\":\"a, ]b\"},{}], Model: m", "x", "", map[string]string{"Steps": "1", "Seed": "5", "Civitai resources": `[{"type":"a, ]b"},{}]`, "Model": "m"}},
		"a quote never closed":   {"x\nSteps: 1, Odd: \"a, Seed: 5", "x", "", map[string]string{"Steps": "1", "Odd": `"a`, "Seed": "5"}},
		"a bracket never closed": {"x\nSteps: 1, Odd: [a, Seed: 5", "x", "", map[string]string{"Steps": "1", "Odd": `[a`, "Seed": "5"}},
		"lines that follow":      {"x\nSteps: 1, Seed: 5\nTemplate: y", "x", "", map[string]string{"Steps": "1", "Seed": "5"}},
		"a name twice":           {"x\nSteps: 1, Seed: 5, Seed: 6", "x", "", map[string]string{"Steps": "1", "Seed": "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := ParseParameters(tt.text)
			if !ok {
				t.Fatal("they are not recognized")
			}
			if p.Prompt != tt.prompt || p.NegativePrompt != tt.negative || !maps.Equal(p.Settings, tt.settings) {
				t.Errorf("ParseParameters() = %q, %q, %v", p.Prompt, p.NegativePrompt, p.Settings)
			}
		})
	}
	for _, text := range []string{"", "a cat", "Steps: climb them", "Negative prompt: x"} {
		if p, ok := ParseParameters(text); ok {
			t.Errorf("ParseParameters(%q) = %+v", text, p)
		}
	}
}

// a1111 makes parameters with these settings.
func a1111(t testing.TB, settings string) *Parameters {
	t.Helper()
	p, ok := ParseParameters("a cat\nNegative prompt: a dog\nSteps: 20, " + settings)
	if !ok {
		t.Fatal(settings)
	}
	return p
}

// What a picture of Stable Diffusion WebUI says becomes the settings of the built-in form, which takes
// them, and its record says what did not come along.
func TestParametersIntoTheForm(t *testing.T) {
	form := builtin(t).Form(stock(t))
	model, _ := form.Field("model")
	p := readTestFile(t, "webui.png").Parameters
	values, warnings := p.Values(form)
	typed, problems := form.Parse(values)
	if len(problems) > 0 {
		t.Fatalf("the form refuses them: %v", problems)
	}
	want := Values{
		"prompt": "a lighthouse, früh\nat dusk <lora:soft:0.7>", "negativePrompt": "blurry,\nlow quality",
		"steps": int64(25), "guidance": 6.5, "seed": uint64(4294967296), "width": int64(512), "height": int64(768),
		"sampler": "dpmpp_2m", "scheduler": "karras", "model": "tiny-random-sd15.safetensors",
	}
	if !maps.Equal(typed, want) {
		t.Errorf("values = %v, want %v (models: %v)", typed, want, model.Choices)
	}
	sentences := []string{
		"Height is 768 instead of “770”, which this form does not take.",
		"LoRAs are not loaded by this workflow, and stay in the prompt as text: “soft”.",
		"This form has no field for: Clip skip “2”.",
	}
	if !slices.Equal(warnings, sentences) {
		t.Errorf("warnings = %q, want %q", warnings, sentences)
	}
}

func TestParametersName(t *testing.T) {
	form := builtin(t).Form(stock(t))
	for said, want := range map[string]string{
		"Sampler: DPM++ 2M Karras":                                "dpmpp_2m karras",
		"Sampler: DPM++ 2M, Schedule type: Karras":                "dpmpp_2m karras",
		"Sampler: DPM++ 2M, Schedule type: Automatic":             "dpmpp_2m karras",
		"Sampler: DPM++ 2M SDE Exponential":                       "dpmpp_2m_sde exponential",
		"Sampler: DPM++ 3M SDE, Schedule type: Automatic":         "dpmpp_3m_sde exponential",
		"Sampler: DPM++ 2M SDE Heun":                              "dpmpp_2m_sde_heun normal",
		"Sampler: DPM++ 2S a Karras":                              "dpmpp_2s_ancestral karras",
		"Sampler: DPM++ SDE":                                      "dpmpp_sde normal",
		"Sampler: DPM2 a":                                         "dpm_2_ancestral normal",
		"Sampler: DPM fast":                                       "dpm_fast normal",
		"Sampler: DPM adaptive":                                   "dpm_adaptive normal",
		"Sampler: Euler a":                                        "euler_ancestral normal",
		"Sampler: Euler":                                          "euler normal",
		"Sampler: Euler, Schedule type: Automatic":                "euler normal",
		"Sampler: Euler, Schedule type: Uniform":                  "euler normal",
		"Sampler: Euler, Schedule type: SGM Uniform":              "euler sgm_uniform",
		"Sampler: Heun":                                           "heun normal",
		"Sampler: LMS Karras":                                     "lms karras",
		"Sampler: DDIM":                                           "ddim normal",
		"Sampler: DDIM, Schedule type: DDIM":                      "ddim ddim_uniform",
		"Sampler: UniPC":                                          "uni_pc normal",
		"Sampler: LCM":                                            "lcm normal",
		"Sampler: Restart":                                        " The sampler “Restart” is not known here.",
		"Sampler: Euler, Schedule type: Align Your Steps":         "euler The schedule “align your steps” is not known here.",
		"Sampler: euler_ancestral, Schedule type: sgm_uniform":    "euler_ancestral sgm_uniform",
		"Sampler: dpmpp_2m_karras":                                "dpmpp_2m karras",
		"Sampler: Euler, CFG scale: 700":                          "euler normal Guidance is 100 instead of “700”, which this form does not take.",
		"Sampler: Euler, CFG scale: much":                         "euler normal Guidance is “much” there, which is no number to use.",
		"Sampler: Euler, Seed: 99999999999999999999":              "euler normal The seed “99999999999999999999” cannot be used; another will be drawn.",
		"Sampler: Euler, Model: nobody":                           "euler normal The model “nobody” is not here.",
		"Sampler: Euler, Model: TINY-random-sd15.safetensors":     "euler normal",
		"Sampler: Euler, Denoising strength: 0.5, Hires steps: 9": "euler normal This form has no field for: Denoising strength “0.5”, Hires steps “9”.",
	} {
		values, warnings := a1111(t, said).Values(form)
		typed, problems := form.Parse(values)
		if len(problems) > 0 {
			t.Errorf("%s: %v", said, problems)
		}
		got := ""
		for _, name := range []string{"sampler", "scheduler"} {
			if raw, given := values[name]; given {
				got += strings.Trim(string(raw), `"`) + " "
			}
		}
		if got = strings.TrimSuffix(got+strings.Join(warnings, " "), " "); got != strings.TrimPrefix(want, " ") {
			t.Errorf("%s became %s, want %s (%v)", said, got, want, typed)
		}
	}
}

// A form whose servers told nothing yet takes any sampler; a form of another workflow takes what it has.
func TestParametersIntoOtherForms(t *testing.T) {
	p := a1111(t, "Sampler: Euler a, Seed: 5, Size: 512x512")
	values, _ := p.Values(builtin(t).Form())
	if got := string(values["sampler"]); got != `"euler_ancestral"` {
		t.Errorf("sampler = %s", got)
	}
	values, warnings := p.Values(Form{Fields: []FormField{{Name: "prompt", Kind: Text}}})
	if got, _ := json.Marshal(values); string(got) != `{"prompt":"a cat"}` {
		t.Errorf("values = %s, warnings %v", got, warnings)
	}
}

// Warnings stay readable whatever a file holds.
func TestParametersWarnBriefly(t *testing.T) {
	var odd strings.Builder
	for i := range 1_000 {
		fmt.Fprintf(&odd, ", Odd %d: %s", i, strings.Repeat("x", 1_000))
	}
	_, warnings := a1111(t, "Seed: 1"+odd.String()).Values(builtin(t).Form(stock(t)))
	if len(warnings) != 1 || len(warnings[0]) > 1_000 {
		t.Errorf("%d warnings, the first of %d bytes", len(warnings), len(warnings[0]))
	}
}
