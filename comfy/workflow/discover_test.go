package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fieldLines writes fields one a line: name "label" [group] kind = default -> targets.
func fieldLines(fields []Field) []string {
	lines := make([]string, 0, len(fields))
	for _, f := range fields {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %q [%s] %s", f.Name, f.Label, f.Group, f.Kind)
		if f.Required {
			b.WriteString(" required")
		}
		if text := string(f.Default); len(text) > 24 {
			b.WriteString(" = " + text[:22] + "…")
		} else if text != "" {
			b.WriteString(" = " + text)
		}
		b.WriteString(" ->")
		for _, t := range f.Targets {
			b.WriteString(" " + t.Node + "." + t.Input)
		}
		lines = append(lines, b.String())
	}
	return lines
}

func expectFields(t *testing.T, fields []Field, want string) {
	t.Helper()
	lines := strings.FieldsFunc(want, func(r rune) bool { return r == '\n' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	if got := fieldLines(fields); !slices.Equal(got, lines) {
		t.Errorf("fields:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func TestDiscoverStock(t *testing.T) {
	want := map[string]string{
		"control-net": `
			prompt "Prompt" [main] text required = "a photograph of a woo… -> 6.text
			negativePrompt "Negative prompt" [main] text = "blurry, jpeg" -> 7.text
			image "Image" [main] image -> 11.image
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 14.ckpt_name
			width "Width" [main] integer = 704 -> 5.width
			height "Height" [main] integer = 512 -> 5.height
			controlNet "Control net" [Control net] choice = "control_v11p_sd15_can… -> 12.control_net_name
			controlNetStrength "Control net strength" [Control net] number = 0.9 -> 10.strength
			controlNetStart "Control net start" [Control net] number = 0 -> 10.start_percent
			controlNetEnd "Control net end" [Control net] number = 0.8 -> 10.end_percent
			steps "Steps" [more] integer = 16 -> 3.steps
			guidance "Guidance" [more] number = 6 -> 3.cfg
			sampler "Sampler" [more] choice = "uni_pc" -> 3.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 3.scheduler
			batchSize "Batch size" [more] integer = 1 -> 5.batch_size
			seed "Seed" [more] seed -> 3.seed`,
		"custom-sampler": `
			prompt "Prompt" [main] text required = "a fox in the snow" -> 6.text
			negativePrompt "Negative prompt" [main] text = "low quality" -> 7.text
			model "Model" [main] choice = "full-random-sd15.safe… -> 12.ckpt_name
			width "Width" [main] integer = 640 -> 5.width
			height "Height" [main] integer = 384 -> 5.height
			steps "Steps" [more] integer = 24 -> 17.steps
			guidance "Guidance" [more] number = 6.5 -> 22.cfg
			sampler "Sampler" [more] choice = "euler" -> 16.sampler_name
			scheduler "Scheduler" [more] choice = "simple" -> 17.scheduler
			batchSize "Batch size" [more] integer = 1 -> 5.batch_size
			seed "Seed" [more] seed -> 25.noise_seed`,
		"hires-fix": `
			prompt "Prompt" [main] text required = "masterpiece HDR victo… -> 6.text
			negativePrompt "Negative prompt" [main] text = "bad hands, text, wate… -> 7.text
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 16.ckpt_name
			width "Width" [main] integer = 768 -> 5.width
			height "Height" [main] integer = 768 -> 5.height
			steps "Steps" [more] integer = 12 -> 3.steps
			steps2 "Steps (Second pass)" [more] integer = 14 -> 11.steps
			guidance "Guidance" [more] number = 8 -> 3.cfg 11.cfg
			sampler "Sampler" [more] choice = "dpmpp_sde" -> 3.sampler_name
			sampler2 "Sampler (Second pass)" [more] choice = "dpmpp_2m" -> 11.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 3.scheduler
			scheduler2 "Scheduler (Second pass)" [more] choice = "simple" -> 11.scheduler
			denoise "Denoise" [more] number = 0.5 -> 11.denoise
			scaledWidth "Scaled width" [more] integer = 1152 -> 10.width
			scaledHeight "Scaled height" [more] integer = 1152 -> 10.height
			batchSize "Batch size" [more] integer = 1 -> 5.batch_size
			seed "Seed" [more] seed -> 3.seed
			seed2 "Seed (Second pass)" [more] seed -> 11.seed`,
		"image-to-image": `
			prompt "Prompt" [main] text required = "photograph of victori… -> 6.text
			negativePrompt "Negative prompt" [main] text = "watermark, text" -> 7.text
			image "Image" [main] image -> 10.image
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 14.ckpt_name
			steps "Steps" [more] integer = 20 -> 3.steps
			guidance "Guidance" [more] number = 8 -> 3.cfg
			sampler "Sampler" [more] choice = "dpmpp_2m" -> 3.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 3.scheduler
			denoise "Denoise" [more] number = 0.87 -> 3.denoise
			seed "Seed" [more] seed -> 3.seed`,
		"image-to-video": `
			image "Image" [main] image -> 23.image
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 15.ckpt_name
			width "Width" [main] integer = 1024 -> 12.width
			height "Height" [main] integer = 576 -> 12.height
			frames "Frames" [main] integer = 14 -> 12.video_frames
			steps "Steps" [more] integer = 20 -> 3.steps
			guidance "Guidance" [more] number = 2.5 -> 3.cfg
			sampler "Sampler" [more] choice = "euler" -> 3.sampler_name
			scheduler "Scheduler" [more] choice = "karras" -> 3.scheduler
			fps "Frames per second" [more] number = 10 -> 10.fps
			fps2 "Frames per second (SVD_img2vid_Conditioning)" [more] integer = 6 -> 12.fps
			seed "Seed" [more] seed -> 3.seed`,
		"inpaint": `
			prompt "Prompt" [main] text required = "closeup photograph of… -> 6.text
			negativePrompt "Negative prompt" [main] text = "watermark, text" -> 7.text
			image "Picture to mend" [main] image -> 20.image
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 29.ckpt_name
			steps "Steps" [more] integer = 20 -> 3.steps
			guidance "Guidance" [more] number = 8 -> 3.cfg
			sampler "Sampler" [more] choice = "uni_pc_bh2" -> 3.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 3.scheduler
			denoise "Denoise" [more] number = 1 -> 3.denoise
			seed "Seed" [more] seed -> 3.seed`,
		"lora-stack": `
			prompt "Prompt" [main] text required = "masterpiece best qual… -> 6.text
			negativePrompt "Negative prompt" [main] text = "bad hands" -> 7.text
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 4.ckpt_name
			width "Width" [main] integer = 512 -> 5.width
			height "Height" [main] integer = 512 -> 5.height
			lora "LoRA" [LoRA] choice = "tiny-random-lora.safe… -> 10.lora_name
			loraStrength "LoRA strength" [LoRA] number = 1 -> 10.strength_model 10.strength_clip
			lora2 "LoRA (Detail)" [LoRA] choice = "tiny-random-lora.safe… -> 11.lora_name
			loraStrength2 "LoRA strength (Detail)" [LoRA] number = 0.6 -> 11.strength_model
			loraTextStrength2 "LoRA strength on the text (Detail)" [LoRA] number = 0.4 -> 11.strength_clip
			lora3 "LoRA (LoraLoaderModelOnly)" [LoRA] choice = "tiny-random-lora.safe… -> 12.lora_name
			loraStrength3 "LoRA strength (LoraLoaderModelOnly)" [LoRA] number = 0.25 -> 12.strength_model
			steps "Steps" [more] integer = 20 -> 3.steps
			guidance "Guidance" [more] number = 8 -> 3.cfg
			sampler "Sampler" [more] choice = "euler" -> 3.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 3.scheduler
			batchSize "Batch size" [more] integer = 1 -> 5.batch_size
			seed "Seed" [more] seed -> 3.seed`,
		"sdxl-base-refiner": `
			prompt "Prompt" [main] text required = "evening sunset scener… -> 6.text_g 6.text_l 15.text
			negativePrompt "Negative prompt" [main] text = "text, watermark" -> 7.text_g 7.text_l 16.text
			model "Model" [main] choice = "full-random-sd15.safe… -> 4.ckpt_name
			model2 "Model (Load Checkpoint - REFINER)" [main] choice = "tiny-random-sd15.safe… -> 12.ckpt_name
			width "Width" [main] integer = 1024 -> 5.width
			height "Height" [main] integer = 1024 -> 5.height
			steps "Steps" [more] integer = 25 -> 10.steps 11.steps
			guidance "Guidance" [more] number = 8 -> 10.cfg 11.cfg
			sampler "Sampler" [more] choice = "euler" -> 10.sampler_name 11.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 10.scheduler 11.scheduler
			batchSize "Batch size" [more] integer = 1 -> 5.batch_size
			seed "Seed" [more] seed -> 10.noise_seed`,
		"text-to-image": `
			prompt "Prompt" [main] text required = "beautiful scenery nat… -> 6.text
			negativePrompt "Negative prompt" [main] text = "text, watermark" -> 7.text
			model "Model" [main] choice = "tiny-random-sd15.safe… -> 4.ckpt_name
			width "Width" [main] integer = 512 -> 5.width
			height "Height" [main] integer = 512 -> 5.height
			steps "Steps" [more] integer = 20 -> 3.steps
			guidance "Guidance" [more] number = 8 -> 3.cfg
			sampler "Sampler" [more] choice = "euler" -> 3.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 3.scheduler
			batchSize "Batch size" [more] integer = 1 -> 5.batch_size
			seed "Seed" [more] seed -> 3.seed`,
		"upscale": `
			image "Image" [main] image -> 1.image
			upscaler "Upscaler" [main] choice = "tiny-random-esrgan-x2… -> 2.model_name`,
	}
	for name, g := range stockGraphs(t) {
		t.Run(name, func(t *testing.T) {
			fields := Discover(g, []*ObjectInfo{stock(t)}, Hints{})
			expectFields(t, fields, want[name])
			runs(t, g, fields)
		})
	}
}

// runs holds that the fields make a workflow whose form takes its own defaults, and that these
// leave the graph as it came, but for what is drawn or uploaded each time.
func runs(t testing.TB, g Graph, fields []Field) {
	t.Helper()
	w, err := New("w", "W", "", g, fields)
	if err != nil {
		t.Fatal(err)
	}
	typed, images := map[string]json.RawMessage{}, map[Target]bool{}
	for _, f := range fields {
		if f.Kind == Image {
			typed[f.Name] = json.RawMessage(`"` + strings.Repeat("0", uploadDigits) + `"`)
			for _, target := range f.Targets {
				images[target] = true
			}
		}
	}
	values, problems := w.Form().Parse(typed)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	applied, err := w.Apply(values)
	if err != nil {
		t.Fatal(err)
	}
	for id, n := range g {
		for input, raw := range n.Inputs {
			if images[Target{id, input}] {
				continue
			}
			was, _ := literal(Number, raw)
			is, _ := literal(Number, applied[id].Inputs[input])
			if string(was) != string(is) || was == nil && string(raw) != string(applied[id].Inputs[input]) {
				t.Errorf("input %s of node %s was %s and is %s", input, id, raw, applied[id].Inputs[input])
			}
		}
	}
}

// What is not among ComfyUI's own examples. A node is written {class, title, inputs}.
func TestDiscover(t *testing.T) {
	const ends = `"dec":{"class_type":"VAEDecode","inputs":{"samples":["k",0],"vae":["c",2]}},"save":{"class_type":"SaveImage","inputs":{"images":["dec",0],"filename_prefix":"x"}},
		"c":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"a.ckpt"}},"e":{"class_type":"EmptyLatentImage","inputs":{"width":512,"height":768}},`
	const sampler = `"k":{"class_type":"KSampler","inputs":{"seed":1,"steps":20,"cfg":7,"model":["c",0],"positive":["%s",%d],"negative":["%s",%d],"latent_image":["e",0]}},`
	encoder := func(id, title, text string) string {
		return fmt.Sprintf(`%q:{"class_type":"CLIPTextEncode","inputs":{"text":%q,"clip":["c",1]},"_meta":{"title":%q}}`, id, text, title)
	}
	for _, tt := range []struct {
		name, graph string
		only        string // names to look at, those that begin with one of these; empty: all
		want        string
	}{
		{
			"both sides through a control net, by the names of its outputs, and the sides crossed",
			ends + fmt.Sprintf(sampler, "n", 1, "n", 0) +
				`"n":{"class_type":"ControlNetApplyAdvanced","inputs":{"positive":["p",0],"negative":["q",0],"control_net":["l",0],"image":["i",0],"strength":1,"start_percent":0,"end_percent":1}},
				"l":{"class_type":"ControlNetLoader","inputs":{"control_net_name":"x.pth"}},"i":{"class_type":"LoadImage","inputs":{"image":"gone.png"}},` +
				encoder("p", "", "good") + "," + encoder("q", "", "bad"),
			"prompt negative image",
			`prompt "Prompt" [main] text required = "bad" -> q.text
			negativePrompt "Negative prompt" [main] text = "good" -> p.text
			image "Image" [main] image required -> i.image`,
		},
		{
			"several prompts, and one text for both sides",
			ends + fmt.Sprintf(sampler, "m", 0, "p", 0) +
				`"m":{"class_type":"ConditioningCombine","inputs":{"conditioning_1":["a",0],"conditioning_2":["p",0]}},
				"a":{"class_type":"ConditioningSetArea","inputs":{"conditioning":["q",0],"width":64,"height":64,"x":0,"y":0,"strength":1}},` +
				encoder("p", "", "a field") + "," + encoder("q", "The sky", "clouds"),
			"prompt negative",
			`prompt "Prompt" [main] text required = "clouds" -> q.text
			prompt2 "Prompt 2" [main] text = "a field" -> p.text`,
		},
		{
			"flux: guidance of its own, no negative prompt behind a zero, two texts of one encoder, a size that a model follows",
			`"dec":{"class_type":"VAEDecode","inputs":{"samples":["k",0],"vae":["v",0]}},"save":{"class_type":"SaveImage","inputs":{"images":["dec",0],"filename_prefix":"x"}},
			"u":{"class_type":"UNETLoader","inputs":{"unet_name":"flux.sft","weight_dtype":"default"}},"v":{"class_type":"VAELoader","inputs":{"vae_name":"ae.sft"}},
			"d":{"class_type":"DualCLIPLoader","inputs":{"clip_name1":"t5.sft","clip_name2":"l.sft","type":"flux"}},
			"ms":{"class_type":"ModelSamplingFlux","inputs":{"model":["u",0],"max_shift":1.15,"base_shift":0.5,"width":1024,"height":512}},
			"e":{"class_type":"EmptySD3LatentImage","inputs":{"width":1024,"height":512,"batch_size":1}},
			"t":{"class_type":"CLIPTextEncodeFlux","inputs":{"clip":["d",0],"clip_l":"cat","t5xxl":"a cat on a wall","guidance":3.5}},
			"z":{"class_type":"ConditioningZeroOut","inputs":{"conditioning":["t",0]}},
			"k":{"class_type":"KSampler","inputs":{"seed":"5","steps":"20","cfg":1,"sampler_name":"euler","scheduler":"simple","denoise":1.0,"model":["ms",0],"positive":["t",0],"negative":["z",0],"latent_image":["e",0]}}`,
			"",
			`prompt "Prompt" [main] text required = "cat" -> t.clip_l
			prompt2 "T5xxl" [main] text = "a cat on a wall" -> t.t5xxl
			model "Model" [main] choice = "flux.sft" -> u.unet_name
			width "Width" [main] integer = 1024 -> e.width ms.width
			height "Height" [main] integer = 512 -> e.height ms.height
			steps "Steps" [more] integer = 20 -> k.steps
			guidance "Guidance" [more] number = 1 -> k.cfg
			fluxGuidance "Flux guidance" [more] number = 3.5 -> t.guidance
			sampler "Sampler" [more] choice = "euler" -> k.sampler_name
			scheduler "Scheduler" [more] choice = "simple" -> k.scheduler
			batchSize "Batch size" [more] integer = 1 -> e.batch_size
			vae "VAE" [more] choice = "ae.sft" -> v.vae_name
			textEncoder "Text encoder" [more] choice = "t5.sft" -> d.clip_name1
			textEncoder2 "Text encoder 2" [more] choice = "l.sft" -> d.clip_name2
			seed "Seed" [more] seed -> k.seed`,
		},
		{
			"values of primitive nodes, one for two samplers, and texts that are put together",
			`"s":{"class_type":"PrimitiveInt","inputs":{"value":7}},"w":{"class_type":"PrimitiveInt","inputs":{"value":640}},"st":{"class_type":"PrimitiveInt","inputs":{"value":12}},
			"txt":{"class_type":"StringConcatenate","inputs":{"string_a":["x",0],"string_b":"in oil","delimiter":", "}},
			"x":{"class_type":"PrimitiveStringMultiline","inputs":{"value":"a boat"}},
			"p":{"class_type":"CLIPTextEncode","inputs":{"text":["txt",0],"clip":["c",1]}},
			"c":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"a.ckpt"}},"e":{"class_type":"EmptyLatentImage","inputs":{"width":["w",0],"height":["w",0],"batch_size":1}},
			"k":{"class_type":"KSampler","inputs":{"seed":["s",0],"steps":["st",0],"cfg":7,"model":["c",0],"positive":["p",0],"negative":["z",0],"latent_image":["e",0]}},
			"k2":{"class_type":"KSampler","inputs":{"seed":["s",0],"steps":["st",0],"cfg":7.0,"model":["c",0],"positive":["p",0],"negative":["z",0],"latent_image":["k",0],"denoise":1}},
			"z":{"class_type":"ConditioningZeroOut","inputs":{"conditioning":["p",0]}},
			"dec":{"class_type":"VAEDecode","inputs":{"samples":["k2",0],"vae":["c",2]}},"save":{"class_type":"SaveImage","inputs":{"images":["dec",0],"filename_prefix":"x"}}`,
			"prompt width height steps guidance seed denoise",
			`prompt "Prompt" [main] text required = "a boat" -> x.value
			prompt2 "String b" [main] text = "in oil" -> txt.string_b
			width "Width" [main] integer = 640 -> w.value
			steps "Steps" [more] integer = 12 -> st.value
			guidance "Guidance" [more] number = 7 -> k.cfg k2.cfg
			denoise "Denoise" [more] number = 1 -> k2.denoise
			seed "Seed" [more] seed -> s.value`,
		},
		{
			"classes that no server knows, by the usual names",
			`"1":{"class_type":"Efficient Loader","inputs":{"ckpt_name":"a.safetensors","vae_name":"Baked VAE","positive":"a cat","negative":"dogs","empty_latent_width":512,"batch_size":1}},
			"2":{"class_type":"KSampler (Efficient)","inputs":{"seed":3,"steps":20,"cfg":7.5,"sampler_name":"euler","scheduler":"normal","denoise":1,"model":["1",0],"positive":["1",1],"negative":["1",2],"latent_image":["1",3]}},
			"3":{"class_type":"SaveImage","inputs":{"images":["2",5],"filename_prefix":"x"}}`,
			"",
			`prompt "Prompt" [main] text required = "a cat" -> 1.positive
			negativePrompt "Negative prompt" [main] text = "dogs" -> 1.negative
			model "Model" [main] choice = "a.safetensors" -> 1.ckpt_name
			steps "Steps" [more] integer = 20 -> 2.steps
			guidance "Guidance" [more] number = 7.5 -> 2.cfg
			sampler "Sampler" [more] choice = "euler" -> 2.sampler_name
			scheduler "Scheduler" [more] choice = "normal" -> 2.scheduler
			denoise "Denoise" [more] number = 1 -> 2.denoise
			vae "VAE" [more] choice = "Baked VAE" -> 1.vae_name
			seed "Seed" [more] seed -> 2.seed`,
		},
		{
			"a mask out of the picture's own file, a mask of another, two pictures of one file",
			`"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},"2":{"class_type":"LoadImageMask","inputs":{"image":"a.png","channel":"alpha"}},
			"10":{"class_type":"LoadImage","inputs":{"image":"a.png"},"_meta":{"title":"Style"}},"4":{"class_type":"LoadImageMask","inputs":{"image":"m.png","channel":"red"}},
			"5":{"class_type":"ImageCompositeMasked","inputs":{"destination":["1",0],"source":["10",0],"x":0,"y":0,"resize_source":false,"mask":["6",0]}},
			"6":{"class_type":"MaskComposite","inputs":{"destination":["2",0],"source":["4",0],"x":0,"y":0,"operation":"add"}},
			"7":{"class_type":"SaveImage","inputs":{"images":["5",0],"filename_prefix":"x"}}`,
			"",
			`image "Image" [main] image required -> 1.image
			image2 "Style" [main] image required -> 10.image 2.image
			mask "Mask" [main] image required -> 4.image`,
		},
		{
			"what is not put out has no fields",
			ends + fmt.Sprintf(sampler, "p", 0, "p", 0) + `"r":{"class_type":"RandomNoise","inputs":{"noise_seed":9}},` + encoder("p", "", "") + "," + encoder("q", "", "unused"),
			"prompt seed",
			`prompt "Prompt" [main] text = "" -> p.text
			seed "Seed" [more] seed -> k.seed`,
		},
		{
			"an unusual model, and a number that an editor's arithmetic has spoilt",
			`"1":{"class_type":"AudioEncoderLoader","inputs":{"audio_encoder_name":"whisper.safetensors"}},"2":{"class_type":"PreviewAny","inputs":{"source":["3",0]}},
			"3":{"class_type":"KSampler","inputs":{"cfg":0.30000000000000004,"denoise":1e-12,"model":["1",0]}}`,
			"",
			`guidance "Guidance" [more] number = 0.3 -> 3.cfg
			denoise "Denoise" [more] number = 1e-12 -> 3.denoise
			modelFile "AudioEncoderLoader" [more] choice = "whisper.safetensors" -> 1.audio_encoder_name`,
		},
		{
			"a service's node",
			`"1":{"class_type":"SomeService","inputs":{"prompt":"a cat","negative_prompt":"dogs","seed":-1}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}`,
			"",
			`prompt "Prompt" [main] text required = "a cat" -> 1.prompt
			negativePrompt "Negative prompt" [main] text = "dogs" -> 1.negative_prompt
			seed "Seed" [more] seed -> 1.seed`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := graph(t, "{"+tt.graph+"}")
			fields := Discover(g, []*ObjectInfo{stock(t)}, Hints{})
			runs(t, g, fields)
			fields = slices.DeleteFunc(fields, func(f Field) bool {
				return tt.only != "" && !slices.ContainsFunc(strings.Fields(tt.only), func(p string) bool { return strings.HasPrefix(f.Name, p) })
			})
			expectFields(t, fields, tt.want)
		})
	}
}

// A picture that was uploaded here, and is in the graph under our name, is the default.
func TestDiscoverOwnUpload(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	g := graph(t, `{"1":{"class_type":"LoadImage","inputs":{"image":"`+UploadName(sum)+`"}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}}`)
	fields := Discover(g, []*ObjectInfo{stock(t)}, Hints{})
	if len(fields) != 1 || string(fields[0].Default) != `"`+sum+`"` || fields[0].Required {
		t.Errorf("fields = %+v", fields)
	}
}

func TestDiscoverBoundsOfThePlace(t *testing.T) {
	g := stockGraphs(t)["text-to-image"].Clone()
	g["w"] = Node{ClassType: "PrimitiveInt", Inputs: map[string]json.RawMessage{"value": json.RawMessage("640")}}
	if err := g.Set("5", "width", json.RawMessage(`["w",0]`)); err != nil {
		t.Fatal(err)
	}
	w, err := New("w", "W", "", g, Discover(g, []*ObjectInfo{stock(t)}, Hints{}))
	if err != nil {
		t.Fatal(err)
	}
	width, _ := w.Form(stock(t)).Field("width")
	if width.Min != 16 || width.Max != 16384 || width.Step != 8 {
		t.Errorf("width = %+v, want the bounds of the latent, not those of any number", width)
	}
}

func TestDiscoverHints(t *testing.T) {
	g := stockGraphs(t)["lora-stack"]
	fields := Discover(g, []*ObjectInfo{stock(t)}, Hints{
		Groups: map[string]string{"11": " Style \n", "12": "Style", "4": "First", "6": "Texts", "3": strings.Repeat("long ", 50)},
		Order:  map[string]int{"4": 1, "12": 2, "11": 3, "3": 4},
	})
	var got []string
	for _, f := range fields {
		got = append(got, f.Name+" "+f.Group[:min(len(f.Group), 5)])
	}
	want := []string{
		"prompt main", "negativePrompt main", "width main", "height main", "model First",
		"lora3 Style", "loraStrength3 Style", "lora2 Style", "loraStrength2 Style", "loraTextStrength2 Style",
		"steps long ", "guidance long ", "sampler long ", "scheduler long ", "seed long ",
		"lora LoRA", "loraStrength LoRA", "batchSize more",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	runs(t, g, fields)
}

func TestRest(t *testing.T) {
	g := stockGraphs(t)["image-to-video"]
	infos := []*ObjectInfo{stock(t)}
	fields := Discover(g, infos, Hints{})
	rest := Rest(g, infos, fields)
	expectFields(t, rest, `
		motionBucketId "Motion bucket id" [SVD_img2vid_Conditioning] integer = 127 -> 12.motion_bucket_id
		augmentationLevel "Augmentation level" [SVD_img2vid_Conditioning] number = 0 -> 12.augmentation_level
		minCfg "Min cfg" [VideoLinearCFGGuidance] number = 1 -> 14.min_cfg
		denoise "Denoise" [KSampler] number = 1 -> 3.denoise
		lossless "Lossless" [SaveAnimatedWEBP] boolean = false -> 10.lossless
		quality "Quality" [SaveAnimatedWEBP] integer = 85 -> 10.quality
		method "Method" [SaveAnimatedWEBP] choice = "default" -> 10.method`)
	runs(t, g, append(fields, rest...))
	if again := Rest(g, infos, append(fields, rest...)); len(again) != 0 {
		t.Errorf("still offered: %q", fieldLines(again))
	}
}

// Whatever the graph, the fields have names of their own and targets that no other has, make a
// workflow, take their own defaults, and are the same each time, whatever order hints give.
func TestDiscoverAnyGraph(t *testing.T) {
	infos := []*ObjectInfo{stock(t)}
	classes := []string{
		"KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced", "CFGGuider", "BasicScheduler", "KSamplerSelect", "RandomNoise",
		"CLIPTextEncode", "CLIPTextEncodeSDXL", "ConditioningCombine", "ConditioningZeroOut", "ControlNetApplyAdvanced", "StringConcatenate",
		"EmptyLatentImage", "LatentUpscale", "LoraLoader", "CheckpointLoaderSimple", "LoadImage", "LoadImageMask", "PrimitiveInt",
		"VAEDecode", "SaveImage", "SaveAnimatedWEBP", "SVD_img2vid_Conditioning", "Unknown",
	}
	rapid.Check(t, func(t *rapid.T) {
		g := Graph{}
		ids := make([]string, rapid.IntRange(1, 25).Draw(t, "nodes"))
		for i := range ids {
			ids[i] = fmt.Sprint(i)
		}
		hints := Hints{Groups: map[string]string{}, Order: map[string]int{}}
		for _, id := range ids {
			n := Node{ClassType: rapid.SampledFrom(classes).Draw(t, "class"), Inputs: map[string]json.RawMessage{}}
			names := []string{"seed", "steps", "positive", "negative", "text", "model", "image", "lora_name"}
			if class, ok := infos[0].Class(n.ClassType); ok {
				names = nil
				for _, in := range class.Inputs {
					names = append(names, in.Name)
				}
			}
			for _, name := range names {
				switch rapid.IntRange(0, 8).Draw(t, "value") {
				case 0, 1, 2, 3: // to any node: circles and wrong types are part of it
					n.Inputs[name] = json.RawMessage(fmt.Sprintf(`[%q,%d]`, rapid.SampledFrom(ids).Draw(t, "from"), rapid.IntRange(0, 3).Draw(t, "slot")))
				case 4:
					n.Inputs[name] = json.RawMessage(`"` + rapid.SampledFrom([]string{"", "x.safetensors", "7", "-1", "a cat"}).Draw(t, "text") + `"`)
				case 5, 6:
					n.Inputs[name] = json.RawMessage(rapid.SampledFrom([]string{"0", "1", "-1", "512", "0.5", "18446744073709551615", "1e300", "20.0"}).Draw(t, "number"))
				case 7:
					n.Inputs[name] = json.RawMessage(rapid.SampledFrom([]string{"null", "true", "[]", "{}", `["no",0]`}).Draw(t, "odd"))
				}
			}
			if rapid.Bool().Draw(t, "titled") {
				n.Meta = json.RawMessage(`{"title":` + string(textJSON(rapid.StringN(0, 90, -1).Draw(t, "title"))) + `}`)
				hints.Groups[id] = rapid.StringN(0, 120, -1).Draw(t, "group")
				hints.Order[id] = rapid.IntRange(-3, 30).Draw(t, "order")
			}
			g[id] = n
		}
		fields := Discover(g, infos, hints)
		all := append(slices.Clone(fields), Rest(g, infos, fields)...)
		taken := map[Target]string{}
		for _, f := range all {
			if f.Name != camel(f.Name) || f.Label == "" || len([]rune(f.Label)) > maxLabelRunes+4 {
				t.Fatalf("field %+v", f)
			}
			for _, target := range f.Targets {
				if other, ok := taken[target]; ok {
					t.Fatalf("%v is in %s and in %s", target, other, f.Name)
				}
				taken[target] = f.Name
			}
		}
		w, err := New("w", "W", "", g, all)
		if err != nil {
			t.Fatal(err)
		}
		form := w.Form(infos...)
		for i := range form.Fields {
			form.Fields[i].Required = false
		}
		values, problems := form.Parse(nil)
		if _, err := w.Apply(values); err != nil || len(problems) > 0 {
			t.Fatal(err, problems)
		}
		named := func(fields []Field) map[string]string {
			m := map[string]string{}
			for _, f := range fields {
				m[f.Name] = fmt.Sprint(f.Targets, f.Label, string(f.Default))
			}
			return m
		}
		if a, b := named(fields), named(Discover(g, infos, Hints{})); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("with hints %v\nwithout %v", a, b)
		}
	})
}
