package simulator

import (
	"image"
	"image/color"
	"path"
	"regexp"
	"strconv"
	"strings"

	"easel/comfy/simulator/paint"
)

// What further classes of a stock server hand on: those that people's graphs are made of beside
// the ones of the simplest.
type (
	noise  struct{ seed uint64 }
	guider struct {
		model              *model
		positive, negative *conditioning
		cfg                float64
	}
	samplerKind struct{ name string }
	sigmas      struct {
		scheduler string
		steps     int
		denoise   float64
	}
	controlNet   struct{ name string }
	upscaleModel struct{ times float64 }
	clipVision   struct{ model string }
)

func stockFuncs() map[string]nodeFunc {
	return map[string]nodeFunc{
		"RandomNoise":    func(c *call) (reply, error) { return values(&noise{uint64Of(c.in["noise_seed"])}), nil },
		"KSamplerSelect": func(c *call) (reply, error) { return values(&samplerKind{c.text("sampler_name")}), nil },
		"BasicScheduler": func(c *call) (reply, error) {
			return values(&sigmas{c.text("scheduler"), c.int("steps"), c.float("denoise")}), nil
		},
		"CFGGuider":                 guide,
		"BasicGuider":               guide,
		"SamplerCustomAdvanced":     sampleCustom,
		"CLIPTextEncodeSDXL":        encodeText,
		"CLIPTextEncodeSDXLRefiner": encodeText,
		"ControlNetLoader":          loadControlNet,
		"ControlNetApplyAdvanced":   applyControlNet,
		"Canny":                     findEdges,
		"VAEEncodeForInpaint":       encodeImage,
		"UpscaleModelLoader":        loadUpscaler,
		"ImageUpscaleWithModel":     upscaleImage,
		"ImageOnlyCheckpointLoader": loadFilmCheckpoint,
		"SVD_img2vid_Conditioning":  conditionFilm,
		"VideoLinearCFGGuidance":    func(c *call) (reply, error) { return values(c.in["model"]), nil },
		"SaveAnimatedWEBP":          saveFilm,
	}
}

func guide(c *call) (reply, error) {
	m, ok := c.in["model"].(*model)
	if !ok {
		return reply{}, c.wrong("model")
	}
	g := &guider{model: m, negative: &conditioning{}, cfg: 1}
	if c.class == "BasicGuider" {
		g.positive, ok = c.in["conditioning"].(*conditioning)
	} else {
		var okNegative bool
		g.cfg = c.float("cfg")
		g.positive, ok = c.in["positive"].(*conditioning)
		g.negative, okNegative = c.in["negative"].(*conditioning)
		ok = ok && okNegative
	}
	if !ok {
		return reply{}, c.wrong("conditioning")
	}
	return values(g), nil
}

func sampleCustom(c *call) (reply, error) {
	l, err := c.latent("latent_image")
	if err != nil {
		return reply{}, err
	}
	n, okNoise := c.in["noise"].(*noise)
	g, okGuider := c.in["guider"].(*guider)
	kind, okSampler := c.in["sampler"].(*samplerKind)
	s, okSigmas := c.in["sigmas"].(*sigmas)
	if !okNoise || !okGuider || !okSampler || !okSigmas {
		return reply{}, c.wrong("guider")
	}
	out, err := c.draw(l, sampled{
		scene: paint.Scene{Text: g.positive.text, Avoid: g.negative.text, Seed: n.seed, Model: g.model.name, Guidance: g.cfg},
		steps: s.steps, denoise: s.denoise, fresh: true, sampling: samplingOf(kind.name, s.scheduler, s.steps),
	})
	return values(out, out), err
}

func loadControlNet(c *call) (reply, error) {
	name := c.text("control_net_name")
	return values(&controlNet{name}), c.load(name)
}

// applyControlNet follows no lines, but needs what a real one needs.
func applyControlNet(c *call) (reply, error) {
	if _, err := c.pictures("image"); err != nil {
		return reply{}, err
	}
	if _, ok := c.in["control_net"].(*controlNet); !ok {
		return reply{}, c.wrong("control_net")
	}
	return values(c.in["positive"], c.in["negative"]), nil
}

// findEdges is Canny without its finesse: white where the light changes much.
func findEdges(c *call) (reply, error) {
	pictures, err := c.pictures("image")
	if err != nil {
		return reply{}, err
	}
	edges := make([]*image.RGBA, len(pictures))
	limit := int(c.float("low_threshold") * 255)
	for i, p := range pictures {
		size := p.Bounds().Size()
		out := paint.Flat(size.X, size.Y, 0, 0, 0)
		light := func(x, y int) int {
			at := p.PixOffset(x, y)
			return (int(p.Pix[at]) + 2*int(p.Pix[at+1]) + int(p.Pix[at+2])) / 4
		}
		for y := 1; y < size.Y; y++ {
			for x := 1; x < size.X; x++ {
				across, down := light(x, y)-light(x-1, y), light(x, y)-light(x, y-1)
				if across*across+down*down > limit*limit/16 {
					out.SetRGBA(x, y, color.RGBA{255, 255, 255, 255})
				}
			}
		}
		edges[i] = out
	}
	return values(edges), nil
}

// timesIn reads how much larger a model makes a picture, as their files say: RealESRGAN_x2.pth, 4x-UltraSharp.pth.
var timesIn = regexp.MustCompile(`(?i)x([248])(?:\D|$)|(?:^|\D)([248])x`)

func loadUpscaler(c *call) (reply, error) {
	name := c.text("model_name")
	m := &upscaleModel{times: 4}
	if found := timesIn.FindStringSubmatch(strings.TrimSuffix(name, path.Ext(name))); found != nil {
		m.times, _ = strconv.ParseFloat(found[1]+found[2], 64)
	}
	return values(m), c.load(name)
}

func upscaleImage(c *call) (reply, error) {
	m, ok := c.in["upscale_model"].(*upscaleModel)
	if !ok {
		return reply{}, c.wrong("upscale_model")
	}
	c.in["scale_by"] = m.times
	return scaleImage(c)
}

func loadFilmCheckpoint(c *call) (reply, error) {
	name := c.text("ckpt_name")
	return values(&model{name}, &clipVision{name}, &vae{name}), c.load(name)
}

// conditionFilm is a latent of as many pictures as the film has, all beginning with the one that was given.
func conditionFilm(c *call) (reply, error) {
	pictures, err := c.pictures("init_image")
	if err != nil || len(pictures) == 0 {
		return reply{}, c.wrong("init_image")
	}
	l := &latent{width: c.int("width") / 8 * 8, height: c.int("height") / 8 * 8, batch: c.int("video_frames"), base: pictures}
	return values(&conditioning{}, &conditioning{}, l), nil
}

func saveFilm(c *call) (reply, error) {
	pictures, err := c.pictures("images")
	if err != nil {
		return reply{}, err
	}
	if err := c.wait(c.p.sim.config.Pace.Save); err != nil {
		return reply{}, err
	}
	prefix, err := c.savedAs(c.text("filename_prefix"), pictures)
	if err != nil {
		return reply{}, err
	}
	film := paint.AnimatedWebP(pictures, int(1000/max(c.float("fps"), 0.01)))
	name, subfolder := c.p.sim.files.save(folderOutput, path.Clean(prefix), ".webp", film)
	return reply{ui: pairs(
		"images", []any{pairs("filename", name, "subfolder", subfolder, "type", folderOutput)}, "animated", []any{true},
	)}, nil
}
