package simulator

import (
	"fmt"
	"image"
	"math/rand/v2"
	"path"
	"strconv"
	"strings"

	"easel/comfy/simulator/paint"
)

func (c *call) pictures(input string) ([]*image.RGBA, error) {
	p, ok := c.in[input].([]*image.RGBA)
	if !ok {
		return nil, c.wrong(input)
	}
	return p, nil
}

func loadImage(c *call) (reply, error) {
	picture, err := c.p.sim.files.loadPicture(c.text("image"))
	if err != nil {
		return reply{}, err
	}
	return values([]*image.RGBA{picture}, nil), nil
}

func emptyImage(c *call) (reply, error) {
	colour := c.int("color")
	pictures := make([]*image.RGBA, c.int("batch_size"))
	for i := range pictures {
		pictures[i] = paint.Flat(c.int("width"), c.int("height"), byte(colour>>16), byte(colour>>8), byte(colour))
	}
	return values(pictures), nil
}

func scaleImage(c *call) (reply, error) {
	pictures, err := c.pictures("image")
	if err != nil {
		return reply{}, err
	}
	scaled := make([]*image.RGBA, len(pictures))
	for i, p := range pictures {
		size := p.Bounds().Size()
		width, height := proportional(c.int("width"), c.int("height"), size.X, size.Y)
		if by := c.float("scale_by"); by > 0 {
			width, height = max(1, int(float64(size.X)*by)), max(1, int(float64(size.Y)*by))
		}
		scaled[i] = paint.Scaled(p, width, height)
	}
	return values(scaled), nil
}

func invertImage(c *call) (reply, error) {
	pictures, err := c.pictures("image")
	if err != nil {
		return reply{}, err
	}
	inverted := make([]*image.RGBA, len(pictures))
	for i, p := range pictures {
		out := image.NewRGBA(p.Bounds())
		for at := range p.Pix {
			out.Pix[at] = 255 - p.Pix[at]
			if at%4 == 3 {
				out.Pix[at] = p.Pix[at] // opacity stays
			}
		}
		inverted[i] = out
	}
	return values(inverted), nil
}

// saveImage is SaveImage and PreviewImage: numbered PNGs, with the graph in their text chunks.
func saveImage(c *call) (reply, error) {
	pictures, err := c.pictures("images")
	if err != nil {
		return reply{}, err
	}
	if err := c.wait(c.p.sim.config.Pace.Save); err != nil {
		return reply{}, err
	}
	folderType, prefix := folderOutput, c.text("filename_prefix")
	if c.class == "PreviewImage" {
		folderType, prefix = folderTemp, "ComfyUI"+c.tempPrefix()
	}
	if prefix, err = c.savedAs(prefix, pictures); err != nil {
		return reply{}, err
	}
	list := []any{}
	for i, p := range pictures {
		data, err := paint.PNG(p, c.textChunks())
		if err != nil {
			return reply{}, &nodeError{"ValueError", err.Error()}
		}
		numbered := strings.ReplaceAll(path.Clean(prefix), "%batch_num%", strconv.Itoa(i))
		name, subfolder := c.p.sim.files.save(folderType, numbered, ".png", data)
		list = append(list, pairs("filename", name, "subfolder", subfolder, "type", folderType))
	}
	return reply{ui: pairs("images", list)}, nil
}

// savedAs is a prefix with its variables filled in, which may not lead out of the folder.
func (c *call) savedAs(prefix string, pictures []*image.RGBA) (string, error) {
	if len(pictures) > 0 {
		prefix = c.filled(prefix, pictures[0].Bounds().Size())
	}
	if _, ok := inside("", prefix); !ok {
		return "", &nodeError{"Exception", "**** ERROR: Saving image outside the output folder is not allowed."}
	}
	return prefix, nil
}

// tempPrefix is the random part of a PreviewImage node's file names; the node keeps it from run to run.
func (c *call) tempPrefix() string {
	key := c.id + "\x00" + c.class
	kept := c.cache.objects[key]
	if kept == nil {
		letters := make([]byte, 5)
		for i := range letters {
			letters[i] = "abcdefghijklmnopqrstupvxyz"[rand.N(26)] // ComfyUI's alphabet, mistyped as it is
		}
		kept = &instance{tempPrefix: "_temp_" + string(letters)}
		c.cache.objects[key] = kept
	}
	return kept.tempPrefix
}

// filled replaces what ComfyUI's compute_vars replaces in a prefix.
func (c *call) filled(prefix string, size image.Point) string {
	now := c.p.sim.config.Now()
	return strings.NewReplacer(
		"%width%", strconv.Itoa(size.X), "%height%", strconv.Itoa(size.Y),
		"%year%", strconv.Itoa(now.Year()), "%month%", fmt.Sprintf("%02d", int(now.Month())),
		"%day%", fmt.Sprintf("%02d", now.Day()), "%hour%", fmt.Sprintf("%02d", now.Hour()),
		"%minute%", fmt.Sprintf("%02d", now.Minute()), "%second%", fmt.Sprintf("%02d", now.Second()),
	).Replace(prefix)
}

// textChunks are the PNG's texts: the graph, and whatever the client sent as extra_pnginfo.
func (c *call) textChunks() []paint.Text {
	chunks := []paint.Text{{Key: "prompt", Value: string(encode(c.item.graph))}}
	if info := c.item.extra.member("extra_pnginfo"); info != nil {
		for _, key := range info.keys {
			chunks = append(chunks, paint.Text{Key: key, Value: string(encode(info.values[key]))})
		}
	}
	return chunks
}

// sendImage is SaveImageWebsocket: the pictures go out as event 1 of format PNG, and nothing is stored.
func sendImage(c *call) (reply, error) {
	pictures, err := c.pictures("images")
	if err != nil {
		return reply{}, err
	}
	for i, p := range pictures {
		err := c.step(i, len(pictures), func() paint.Encoded { return encodedPNG(p) })
		if err != nil {
			return reply{}, err
		}
	}
	return reply{}, nil
}

func encodedPNG(p *image.RGBA) paint.Encoded {
	data, err := paint.PNG(p, nil)
	if err != nil {
		return paint.Encoded{} // only a picture without pixels cannot be written
	}
	return paint.Encoded{MIME: "image/png", Bytes: data}
}
