package workflow

import (
	"slices"
	"strings"
)

// samplers finds what the samplers are told, by themselves or by the nodes that prepare it.
func (d *discovery) samplers() {
	seen := map[string]bool{}
	for _, id := range d.ids {
		if !d.isSampler(id) {
			continue
		}
		scratch := d.fromScratch(id)
		var scope []string
		for open := []string{id}; len(open) > 0; {
			at := open[0]
			open = open[1:]
			if _, exists := d.graph[at]; !exists || seen[at] {
				continue
			}
			seen[at] = true
			scope = append(scope, at)
			for _, name := range d.linked(at, "GUIDER", "NOISE", "SAMPLER", "SIGMAS") {
				open = append(open, d.links[at][name].node)
			}
		}
		for _, at := range scope {
			d.told(at, scratch)
		}
		for _, at := range scope {
			d.conditions(at)
		}
	}
}

// told are the settings of a sampler, or of a node beside it.
func (d *discovery) told(id string, scratch bool) {
	for _, name := range d.inputs(id) {
		switch name {
		case "steps":
			d.add(roleSteps, id, name, 0)
		case "cfg", "cfg_conds", "cfg_cond2_negative":
			d.add(roleGuidance, id, name, 0)
		case "sampler_name":
			d.add(roleSampler, id, name, 0)
		case "scheduler":
			d.add(roleScheduler, id, name, 0)
		case "denoise":
			if whole, ok := d.graph[id].Int(name); !scratch || !ok || whole != 1 {
				d.add(roleDenoise, id, name, 0)
			}
		case "seed", "noise_seed":
			d.seed(id, name)
		}
	}
}

// seed leaves out that of a sampler which goes on with another's noise: it changes nothing, or
// breaks what the first began.
func (d *discovery) seed(id, name string) {
	noise := string(d.graph[id].Inputs["add_noise"])
	if noise != `"disable"` && noise != "false" {
		d.add(roleSeed, id, name, 0)
	}
}

// fromScratch reports whether a sampler begins with an empty latent, where all has to be drawn.
func (d *discovery) fromScratch(id string) bool {
	inputs := d.linked(id, "LATENT")
	if len(inputs) == 0 {
		return false
	}
	return !slices.ContainsFunc(inputs, func(name string) bool { return !d.isCanvas(d.links[id][name].node) })
}

// isCanvas reports whether a node says how large the picture, or the film, is going to be.
func (d *discovery) isCanvas(id string) bool {
	inputs := d.graph[id].Inputs
	if len(inputs["width"]) == 0 || len(inputs["height"]) == 0 {
		return false
	}
	class := d.class(id)
	switch {
	case class == nil:
		return strings.Contains(strings.ToLower(d.graph[id].ClassType), "latent")
	case d.gives(id, "LATENT"):
		return !d.takes(id, "LATENT")
	case d.gives(id, "IMAGE"): // an empty one, of no other node's
		return !slices.ContainsFunc(class.Inputs, func(in Input) bool { return in.Section != Hidden && !in.Widget() })
	}
	return false
}

// nodes finds what does not hang on a sampler.
func (d *discovery) nodes() {
	var canvases []size
	loras, controls := 0, 0
	for _, id := range d.ids {
		if len(d.finds) >= MaxFields {
			return
		}
		switch {
		case d.isCanvas(id):
			canvases = d.canvas(id, canvases)
		case d.has(id, "lora_name"):
			loras++
			d.lora(id, loras)
		case d.has(id, "strength") && len(d.linked(id, "CONTROL_NET")) > 0:
			controls++
			d.add(roleControlStrength, id, "strength", controls)
			d.add(roleControlStart, id, "start_percent", controls)
			d.add(roleControlEnd, id, "end_percent", controls)
		case d.has(id, "upscale_method"):
			d.add(roleScaleBy, id, "scale_by", 0)
			d.add(roleScaledWidth, id, "width", 0)
			d.add(roleScaledHeight, id, "height", 0)
			d.add(roleMegapixels, id, "megapixels", 0)
		}
		d.files(id)
	}
	d.images()
	for _, id := range d.ids {
		d.follow(id, canvases)
		for _, name := range []string{"seed", "noise_seed"} {
			if d.has(id, name) && d.kind(id, name) == TypeInt {
				d.seed(id, name)
			}
		}
	}
	for _, id := range slices.Backward(d.ids) { // the speed of the film that comes out, first
		d.add(roleFPS, id, "fps", 0)
		d.add(roleFPS, id, "frame_rate", 0)
	}
}

func (d *discovery) has(id, name string) bool { return len(d.graph[id].Inputs[name]) > 0 }

// kind is the type of an input; where nothing is known, that of whole numbers.
func (d *discovery) kind(id, name string) string {
	if in := d.input(id, name); in != nil {
		return in.Type
	}
	return TypeInt
}

// size is a width and a height that belong together, as they stand in the graph.
type size struct{ width, height string }

func (d *discovery) size(id string) size {
	value := func(name string) string {
		_, raw, _ := d.value(id, name)
		n, _ := literal(Integer, raw)
		return string(n)
	}
	return size{value("width"), value("height")}
}

// canvas adds a size, as a pair: it is one with another only when both are the same.
func (d *discovery) canvas(id string, known []size) []size {
	own := d.size(id)
	unit := slices.Index(known, own) + 1
	if unit == 0 {
		known = append(known, own)
		unit = len(known)
	}
	d.add(roleWidth, id, "width", unit)
	d.add(roleHeight, id, "height", unit)
	for _, name := range []string{"length", "video_frames", "frames", "num_frames", "frame_count"} {
		d.add(roleFrames, id, name, 0)
	}
	d.add(roleBatch, id, "batch_size", 0)
	return known
}

// follow adds to the size those places that only repeat it for a model or a text.
func (d *discovery) follow(id string, canvases []size) {
	if !d.has(id, "width") || !d.has(id, "height") || d.has(id, "x") || !d.gives(id, "MODEL") && !d.gives(id, "CONDITIONING") {
		return
	}
	if unit := slices.Index(canvases, d.size(id)) + 1; unit > 0 {
		d.add(roleWidth, id, "width", unit)
		d.add(roleHeight, id, "height", unit)
	}
}

func (d *discovery) lora(id string, unit int) {
	d.add(roleLoRA, id, "lora_name", unit)
	d.add(roleLoRAStrength, id, "strength_model", unit)
	_, model, _ := d.value(id, "strength_model")
	_, text, _ := d.value(id, "strength_clip")
	m, _ := literal(Number, model)
	if t, _ := literal(Number, text); string(t) == string(m) {
		d.add(roleLoRAStrength, id, "strength_clip", unit)
	} else {
		d.add(roleLoRAText, id, "strength_clip", unit)
	}
}

// files adds what a node loads beside pictures and LoRAs.
func (d *discovery) files(id string) {
	for _, name := range d.inputs(id) {
		r := modelRoles[name]
		switch {
		case r == roleTextEncoder && d.gives(id, "CLIP_VISION"):
			r = roleClipVision
		case r != nil:
		case name == "seconds" && (d.gives(id, "LATENT") || d.gives(id, "AUDIO")):
			r = roleSeconds
		case d.input(id, name) == nil || d.input(id, name).Type != TypeCombo || name == "lora_name":
			continue
		case d.gives(id, "UPSCALE_MODEL"):
			r = roleUpscaler
		case d.choosesModel(id, name):
			r = roleModelFile
		default:
			continue
		}
		d.add(r, id, name, 0)
	}
}

// choosesModel goes by the file: most choices are words of an enumeration.
func (d *discovery) choosesModel(id, name string) bool {
	file, ok := d.graph[id].Text(name)
	return ok && IsModelFile(file)
}

// images adds the pictures that a graph begins with. A mask out of the same file as a picture is
// one upload with it; two pictures are two, though the graph came with one file for both.
func (d *discovery) images() {
	pictures := map[string]*find{} // by file
	for _, masks := range []bool{false, true} {
		for _, id := range d.ids {
			name, ok := d.imageInput(id)
			if !ok || masks != (d.class(id) != nil && !d.gives(id, "IMAGE")) {
				continue
			}
			file, _ := d.graph[id].Text(name)
			if picture := pictures[file]; masks && picture != nil {
				target := Target{id, name}
				d.taken[target] = true
				picture.targets = append(picture.targets, target)
				continue
			}
			r := roleImage
			if masks {
				r = roleMask
			}
			if f := d.add(r, id, name, 0); f != nil && !masks {
				pictures[file] = f
			}
		}
	}
}

// imageInput is the input by which a node takes an uploaded picture.
func (d *discovery) imageInput(id string) (name string, ok bool) {
	class := d.class(id)
	if class == nil {
		return "image", strings.HasPrefix(d.graph[id].ClassType, "LoadImage") && d.has(id, "image")
	}
	for i := range class.Inputs {
		in := &class.Inputs[i]
		_, linked := d.links[id][in.Name]
		if in.UploadImage && !in.Remote && !linked && (d.gives(id, "IMAGE") || d.gives(id, "MASK")) {
			return in.Name, true
		}
	}
	return "", false
}
