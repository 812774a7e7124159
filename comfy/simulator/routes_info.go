package simulator

import (
	"net/http"
	"strings"
)

func getObjectInfo(p *process, w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, p.sim.classes.document())
}

func getObjectInfoClass(p *process, w http.ResponseWriter, r *http.Request) error {
	name := last(r, "/object_info/")
	found := newObject()
	if described := p.sim.classes.describe(name); described != nil {
		found.set(name, described)
	}
	return answer(w, http.StatusOK, found)
}

func getSystemStats(p *process, w http.ResponseWriter, _ *http.Request) error {
	const total, free = 16 << 30, 12 << 30
	return answer(w, http.StatusOK, pairs(
		"system", pairs(
			"os", "posix", "ram_total", total, "ram_free", free,
			"comfyui_version", p.sim.config.Version, "required_frontend_version", "1.27.10",
			"installed_templates_version", "0.1.95", "required_templates_version", "0.1.95",
			"python_version", "3.11.7", "pytorch_version", "2.8.0", "embedded_python", false,
			"argv", []any{"main.py", "--easel-simulator"}),
		"devices", []any{pairs(
			"name", "simulated", "type", "cpu", "index", nil, "vram_total", total, "vram_free", free,
			"torch_vram_total", total, "torch_vram_free", free)}))
}

func getFeatures(_ *process, w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, featureFlags())
}

// modelFolders are the folders of a stock server; all but two are empty here.
var modelFolders = []string{
	"checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
	"embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes",
	"hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
}

func getModels(_ *process, w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, modelFolders)
}

func getModelFolder(p *process, w http.ResponseWriter, r *http.Request) error {
	name := last(r, "/models/")
	var list []string
	switch {
	case name == "checkpoints":
		list = p.sim.classes.models
	case name == "loras":
		list = p.sim.classes.loras
	case !strings.Contains("\n"+strings.Join(modelFolders, "\n")+"\n", "\n"+name+"\n"):
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	return answer(w, http.StatusOK, list)
}

func getEmbeddings(_ *process, w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, []any{})
}
