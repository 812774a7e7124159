package simulator

import (
	"easel/comfy/simulator/paint"
)

// schedule of one sampler run as its progress shows it: how many steps it announces, how many it really reports, and
// how often the last one is repeated.
type sampling struct{ announced, reported, repeated int }

// samplingOf knows the samplers whose progress does not go from 1 to steps; measured on ComfyUI 0.3.64.
func samplingOf(sampler, scheduler string, steps int) sampling {
	s := sampling{announced: steps, reported: steps}
	switch {
	case sampler == "dpm_adaptive":
		s.repeated = 15 // it chooses its own number of model calls; 21 of them in the recording of 6 steps
	case sampler == "dpm_fast":
		s.reported = (steps + 1) / 2 // several model calls a step, reported together
	case scheduler == "ddim_uniform":
		s.announced++
		s.reported++
	}
	return s
}

// sample is KSampler and KSamplerAdvanced: steps that take time, each with progress and a preview, and a recipe of the
// picture in the end.
func sample(c *call) (reply, error) {
	l, err := c.latent("latent_image")
	if err != nil {
		return reply{}, err
	}
	m, ok := c.in["model"].(*model)
	if !ok {
		return reply{}, c.wrong("model")
	}
	positive, okP := c.in["positive"].(*conditioning)
	negative, okN := c.in["negative"].(*conditioning)
	if !okP || !okN {
		return reply{}, c.wrong("conditioning")
	}
	seed, denoise, steps, fresh := uint64Of(c.in["seed"]), 1.0, c.int("steps"), true
	if c.class == "KSamplerAdvanced" {
		from, to := c.int("start_at_step"), min(c.int("end_at_step"), steps)
		seed, steps, fresh = uint64Of(c.in["noise_seed"]), max(0, to-from), from == 0
	} else {
		denoise = c.float("denoise")
	}
	out, err := c.draw(l, sampled{
		scene: paint.Scene{Text: positive.text, Avoid: negative.text, Seed: seed, Model: m.name, Guidance: c.float("cfg")},
		steps: steps, denoise: denoise, fresh: fresh, sampling: samplingOf(c.text("sampler_name"), c.text("scheduler"), steps),
	})
	return values(out), err
}

// sampled is one run of any sampler.
type sampled struct {
	scene    paint.Scene
	steps    int
	denoise  float64
	fresh    bool // it begins with noise, and goes on with nobody else's steps
	sampling sampling
}

// draw makes of a latent what a sampler makes of it.
func (c *call) draw(l *latent, s sampled) (*latent, error) {
	out := *l
	out.strength = s.denoise
	switch {
	case s.steps == 0 || s.denoise == 0:
		return &out, nil
	case l.scene != nil && (!s.fresh || s.denoise < 0.9):
		out.scene = l.scene // a second pass refines the picture that is there
		out.strength = max(l.strength, s.denoise)
	default:
		out.scene = &s.scene
		if s.denoise >= 1 {
			out.base = nil
		}
	}
	if err := c.wait(c.p.sim.config.Pace.Setup); err != nil {
		return nil, err
	}
	return &out, c.steps(&out, s.sampling)
}

// steps reports every step, at the pace of the configuration.
func (c *call) steps(l *latent, s sampling) error {
	emerging := c.emerging(l)
	for i := range s.reported + s.repeated {
		step := min(i+1, s.reported)
		if err := c.wait(c.p.sim.config.Pace.Step); err != nil {
			return err
		}
		c.pause(Point{Stage: StageStep, Node: c.id, Class: c.class, Step: step, Steps: s.announced})
		if err := c.p.sim.faults.stepped(c.p); err != nil {
			return err
		}
		var preview func() paint.Encoded
		if emerging != nil {
			fraction := float64(i+1) / float64(s.reported+s.repeated)
			preview = func() paint.Encoded { return emerging.JPEG(fraction) }
		}
		if err := c.step(step, s.announced, preview); err != nil {
			return err
		}
	}
	return nil
}

// emerging prepares the previews of a run, or returns nil where the server sends none.
func (c *call) emerging(l *latent) *paint.Emerging {
	config := c.p.sim.config
	if config.NoPreviews {
		return nil
	}
	longer := max(l.width, l.height)
	size := config.PreviewSize
	width, height := max(1, l.width*size/longer), max(1, l.height*size/longer)
	small := min(1, 192/float64(size)) // painted small, for speed, and enlarged like the 64 x 64 latents of a real one
	picture := l.paint(0, max(1, int(float64(width)*small)), max(1, int(float64(height)*small)))
	return paint.NewEmerging(picture, width, height, l.scene.Seed)
}
