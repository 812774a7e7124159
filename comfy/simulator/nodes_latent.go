package simulator

import (
	"fmt"
	"image"
	"maps"
	"strings"

	"easel/comfy/simulator/paint"
)

// The values that flow between nodes. Models and VAEs are only names; a latent is the recipe of a picture, and is
// painted when a VAE decodes it.
type (
	model        struct{ name string }
	textEncoder  struct{ model string }
	vae          struct{ model string }
	conditioning struct{ text string }

	latent struct {
		width, height int // in pixels
		batch         int
		first         int           // index of the first picture of the batch, after a batch was taken apart
		scene         *paint.Scene  // nil: not sampled
		base          []*image.RGBA // what was encoded, by picture; nil: empty
		strength      float64       // how much of the scene covers base, 0 to 1
	}
)

// nodeFuncs are the classes that the simulator executes.
var nodeFuncs map[string]nodeFunc

// The table refers to functions that refer to classes, which refer to the table: an initializer would be a cycle.
func init() {
	nodeFuncs = map[string]nodeFunc{
		"CheckpointLoaderSimple": loadCheckpoint,
		"VAELoader":              loadVAE,
		"LoraLoader":             loadLoRA,
		"LoraLoaderModelOnly":    loadLoRA,
		"CLIPSetLastLayer":       func(c *call) (reply, error) { return values(c.in["clip"]), nil },
		"CLIPTextEncode":         encodeText,
		"ConditioningCombine":    combine,
		"ConditioningZeroOut":    func(*call) (reply, error) { return values(&conditioning{}), nil },
		"EmptyLatentImage":       emptyLatent,
		"LatentUpscale":          upscaleLatent,
		"LatentUpscaleBy":        upscaleLatent,
		"RepeatLatentBatch":      repeatLatent,
		"RebatchLatents":         rebatchLatent,
		"KSampler":               sample,
		"KSamplerAdvanced":       sample,
		"VAEDecode":              decodeLatent,
		"VAEDecodeTiled":         decodeLatent,
		"VAEEncode":              encodeImage,
		"LoadImage":              loadImage,
		"EmptyImage":             emptyImage,
		"ImageScale":             scaleImage,
		"ImageScaleBy":           scaleImage,
		"ImageInvert":            invertImage,
		"SaveImage":              saveImage,
		"PreviewImage":           saveImage,
		"SaveImageWebsocket":     sendImage,
	}
	maps.Copy(nodeFuncs, stockFuncs())
	maps.Copy(nodeFuncs, benchFuncs())
}

func values(outputs ...any) reply { return reply{outputs: outputs} }

func (c *call) text(name string) string   { return pythonStr(c.in[name]) }
func (c *call) int(name string) int       { return intValue(c.in[name]) }
func (c *call) float(name string) float64 { return floatOf(c.in[name]) }

// load takes the time of loading a file that is not in memory yet.
func (c *call) load(name string) error {
	if c.loaded[name] {
		return c.wait(0)
	}
	if err := c.wait(c.p.sim.config.Pace.Load); err != nil {
		return err
	}
	c.loaded[name] = true
	return nil
}

func loadCheckpoint(c *call) (reply, error) {
	name := c.text("ckpt_name")
	if err := c.load(name); err != nil {
		return reply{}, err
	}
	return values(&model{name}, &textEncoder{name}, &vae{name}), nil
}

func loadVAE(c *call) (reply, error) {
	if err := c.load(c.text("vae_name")); err != nil {
		return reply{}, err
	}
	return values(&vae{c.text("vae_name")}), nil
}

func loadLoRA(c *call) (reply, error) {
	if err := c.load(c.text("lora_name")); err != nil {
		return reply{}, err
	}
	m, ok := c.in["model"].(*model)
	if !ok {
		return reply{}, c.wrong("model")
	}
	return values(&model{m.name + "+" + c.text("lora_name")}, c.in["clip"]), nil
}

// wrong is what Python says of a value of an unexpected kind.
func (c *call) wrong(input string) error {
	return &nodeError{"AttributeError", fmt.Sprintf("'NoneType' object has no attribute '%s'", input)}
}

func encodeText(c *call) (reply, error) {
	if err := c.wait(c.p.sim.config.Pace.Encode); err != nil {
		return reply{}, err
	}
	text := c.in["text"]
	if c.class == "CLIPTextEncodeSDXL" {
		text = c.in["text_g"]
	}
	return values(&conditioning{pythonStr(text)}), nil
}

func combine(c *call) (reply, error) {
	a, okA := c.in["conditioning_1"].(*conditioning)
	b, okB := c.in["conditioning_2"].(*conditioning)
	if !okA || !okB {
		return reply{}, c.wrong("conditioning")
	}
	return values(&conditioning{strings.TrimSpace(a.text + " " + b.text)}), nil
}

func emptyLatent(c *call) (reply, error) {
	return values(&latent{width: c.int("width") / 8 * 8, height: c.int("height") / 8 * 8, batch: c.int("batch_size")}), nil
}

func (c *call) latent(input string) (*latent, error) {
	l, ok := c.in[input].(*latent)
	if !ok {
		return nil, c.wrong(input)
	}
	return l, nil
}

func upscaleLatent(c *call) (reply, error) {
	l, err := c.latent("samples")
	if err != nil {
		return reply{}, err
	}
	larger := *l
	if by := c.float("scale_by"); by > 0 {
		larger.width, larger.height = int(float64(l.width)*by)/8*8, int(float64(l.height)*by)/8*8
	} else {
		larger.width, larger.height = proportional(c.int("width"), c.int("height"), l.width, l.height)
		larger.width, larger.height = max(larger.width/8*8, 64), max(larger.height/8*8, 64)
	}
	return values(&larger), nil
}

// proportional fills in the side that is 0 from the shape of the picture.
func proportional(width, height, fromWidth, fromHeight int) (w, h int) {
	switch {
	case width == 0 && height == 0:
		return fromWidth, fromHeight
	case width == 0:
		return max(1, fromWidth*height/fromHeight), height
	case height == 0:
		return width, max(1, fromHeight*width/fromWidth)
	default:
		return width, height
	}
}

func repeatLatent(c *call) (reply, error) {
	l, err := c.latent("samples")
	if err != nil {
		return reply{}, err
	}
	more := *l
	more.batch *= max(1, c.int("amount"))
	return values(&more), nil
}

// rebatchLatent takes a batch apart: a list of latents, which the next node works through one by one.
func rebatchLatent(c *call) (reply, error) {
	l, err := c.latent("latents")
	if err != nil {
		return reply{}, err
	}
	size := max(1, c.int("batch_size"))
	list := []any{}
	for at := 0; at < l.batch; at += size {
		part := *l
		part.first, part.batch = l.first+at, min(size, l.batch-at)
		list = append(list, &part)
	}
	return values(list), nil
}

// decodeLatent paints the pictures of a latent.
func decodeLatent(c *call) (reply, error) {
	l, err := c.latent("samples")
	if err != nil {
		return reply{}, err
	}
	if c.class == "VAEDecodeTiled" {
		tiles := tiles(l, c.int("tile_size"), c.int("overlap"))
		for i := range tiles {
			if err := c.wait(c.p.sim.config.Pace.Decode / 2); err != nil {
				return reply{}, err
			}
			if err := c.step(i+1, tiles, nil); err != nil {
				return reply{}, err
			}
		}
	} else if err := c.wait(c.p.sim.config.Pace.Decode); err != nil {
		return reply{}, err
	}
	pictures := make([]*image.RGBA, l.batch)
	for i := range pictures {
		if c.p.sim.config.Flat {
			pictures[i] = paint.Flat(l.width, l.height, 0x7f, 0x7f, 0x7f)
		} else {
			pictures[i] = l.paint(i, l.width, l.height)
		}
		if c.p.ctx.Err() != nil {
			return reply{}, errKilled
		}
	}
	return values(pictures), nil
}

// tiles is how many pieces ComfyUI decodes: three passes with tiles of three shapes, counted in eighths of pixels.
func tiles(l *latent, size, overlap int) int {
	size, overlap = size/8, overlap/8
	count := func(tileX, tileY int) int {
		along := func(length, tile int) int {
			if length <= tile {
				return 1
			}
			return (length - overlap + tile - overlap - 1) / (tile - overlap)
		}
		return along(l.width/8, tileX) * along(l.height/8, tileY)
	}
	return l.batch * (count(size, size) + count(size/2, size*2) + count(size*2, size/2))
}

// paint makes picture i of the batch in the given size.
func (l *latent) paint(i, width, height int) *image.RGBA {
	var base *image.RGBA
	if len(l.base) > 0 {
		base = paint.Scaled(l.base[(l.first+i)%len(l.base)], width, height)
	}
	if l.scene == nil {
		if base == nil {
			return paint.Flat(width, height, 0x7f, 0x7f, 0x7f) // what an unsampled latent decodes to
		}
		return base
	}
	scene := *l.scene
	scene.Index = l.first + i
	picture := paint.Paint(scene, width, height)
	if base != nil {
		return paint.Mix(base, picture, l.strength)
	}
	return picture
}

func encodeImage(c *call) (reply, error) {
	pictures, ok := c.in["pixels"].([]*image.RGBA)
	if !ok || len(pictures) == 0 {
		return reply{}, c.wrong("pixels")
	}
	if err := c.wait(c.p.sim.config.Pace.Decode); err != nil {
		return reply{}, err
	}
	size := pictures[0].Bounds().Size()
	return values(&latent{width: max(8, size.X/8*8), height: max(8, size.Y/8*8), batch: len(pictures), base: pictures}), nil
}
