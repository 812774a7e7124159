package workflow

// role is what a field is for.
type role struct {
	name, label, help string
	group             string
	kind              Kind  // where object_info does not say
	joins             bool  // places that hold the same are one field
	stays             bool  // in its group, whatever group of the graph its node lies in
	with              *role // those of the same number are shown together
}

var (
	rolePrompt   = &role{name: "prompt", label: "Prompt", group: GroupMain, kind: Text, joins: true, stays: true}
	roleNegative = &role{name: "negativePrompt", label: "Negative prompt", group: GroupMain, kind: Text, joins: true, stays: true}
	roleImage    = &role{name: "image", label: "Image", group: GroupMain, kind: Image, stays: true}
	roleMask     = &role{name: "mask", label: "Mask", group: GroupMain, kind: Image, stays: true, help: "Its transparent parts are what is changed."}
	roleModel    = &role{name: "model", label: "Model", group: GroupMain, kind: Choice, joins: true}
	roleWidth    = &role{name: "width", label: "Width", group: GroupMain, kind: Integer, joins: true}
	roleHeight   = &role{name: "height", label: "Height", group: GroupMain, kind: Integer, joins: true, with: roleWidth}
	roleFrames   = &role{name: "frames", label: "Frames", group: GroupMain, kind: Integer, joins: true}
	roleSeconds  = &role{name: "seconds", label: "Seconds", group: GroupMain, kind: Number, joins: true}

	roleLoRA         = &role{name: "lora", label: "LoRA", group: "LoRA", kind: Choice}
	roleLoRAStrength = &role{name: "loraStrength", label: "LoRA strength", group: "LoRA", kind: Number, joins: true, with: roleLoRA}
	roleLoRAText     = &role{name: "loraTextStrength", label: "LoRA strength on the text", group: "LoRA", kind: Number, with: roleLoRA}

	roleControlNet      = &role{name: "controlNet", label: "Control net", group: "Control net", kind: Choice, joins: true}
	roleControlStrength = &role{name: "controlNetStrength", label: "Control net strength", group: "Control net", kind: Number}
	roleControlStart    = &role{name: "controlNetStart", label: "Control net start", group: "Control net", kind: Number, with: roleControlStrength, help: "The part of the steps after which it begins: 0 is at once."}
	roleControlEnd      = &role{name: "controlNetEnd", label: "Control net end", group: "Control net", kind: Number, with: roleControlStrength, help: "The part of the steps after which it ends: 1 is never."}

	roleSteps        = &role{name: "steps", label: "Steps", group: GroupMore, kind: Integer, joins: true}
	roleGuidance     = &role{name: "guidance", label: "Guidance", group: GroupMore, kind: Number, joins: true, help: "The cfg."}
	roleFluxGuidance = &role{name: "fluxGuidance", label: "Flux guidance", group: GroupMore, kind: Number, joins: true}
	roleSampler      = &role{name: "sampler", label: "Sampler", group: GroupMore, kind: Choice, joins: true}
	roleScheduler    = &role{name: "scheduler", label: "Scheduler", group: GroupMore, kind: Choice, joins: true}
	roleDenoise      = &role{name: "denoise", label: "Denoise", group: GroupMore, kind: Number, help: "How much is drawn anew: 0 leaves the picture, 1 replaces it."}

	roleUpscaler     = &role{name: "upscaler", label: "Upscaler", group: GroupMore, kind: Choice, joins: true}
	roleScaleBy      = &role{name: "scaleBy", label: "Scale by", group: GroupMore, kind: Number}
	roleScaledWidth  = &role{name: "scaledWidth", label: "Scaled width", group: GroupMore, kind: Integer}
	roleScaledHeight = &role{name: "scaledHeight", label: "Scaled height", group: GroupMore, kind: Integer, with: roleScaledWidth}
	roleMegapixels   = &role{name: "megapixels", label: "Megapixels", group: GroupMore, kind: Number}
	roleFPS          = &role{name: "fps", label: "Frames per second", group: GroupMore, kind: Number, joins: true}
	roleBatch        = &role{name: "batchSize", label: "Batch size", group: GroupMore, kind: Integer, joins: true, help: "Pictures made in one run."}
	roleVAE          = &role{name: "vae", label: "VAE", group: GroupMore, kind: Choice, joins: true}
	roleTextEncoder  = &role{name: "textEncoder", label: "Text encoder", group: GroupMore, kind: Choice, joins: true}
	roleClipVision   = &role{name: "clipVision", label: "CLIP vision", group: GroupMore, kind: Choice, joins: true}
	roleStyleModel   = &role{name: "styleModel", label: "Style model", group: GroupMore, kind: Choice, joins: true}
	roleModelFile    = &role{name: "modelFile", label: "Model file", group: GroupMore, kind: Choice, joins: true}
	roleSeed         = &role{name: "seed", label: "Seed", group: GroupMore, kind: Seed, joins: true, help: "The same seed and settings give the same picture."}
)

// roles are in the order in which their fields are shown, as far as groups leave it open.
var roles = []*role{
	rolePrompt, roleNegative, roleImage, roleMask, roleModel, roleWidth, roleHeight, roleFrames, roleSeconds,
	roleLoRA, roleLoRAStrength, roleLoRAText, roleControlNet, roleControlStrength, roleControlStart, roleControlEnd,
	roleSteps, roleGuidance, roleFluxGuidance, roleSampler, roleScheduler, roleDenoise,
	roleUpscaler, roleScaleBy, roleScaledWidth, roleScaledHeight, roleMegapixels, roleFPS, roleBatch,
	roleVAE, roleTextEncoder, roleClipVision, roleStyleModel, roleModelFile, roleSeed,
}

// modelRoles are the inputs by which ComfyUI's loaders, and nearly all others, choose a file.
var modelRoles = map[string]*role{
	"ckpt_name": roleModel, "unet_name": roleModel, "model_path": roleModel,
	"vae_name": roleVAE, "control_net_name": roleControlNet, "style_model_name": roleStyleModel,
	"clip_name": roleTextEncoder, "clip_name1": roleTextEncoder, "clip_name2": roleTextEncoder,
	"clip_name3": roleTextEncoder, "clip_name4": roleTextEncoder,
}
