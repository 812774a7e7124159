package studio

import (
	"slices"
	"strings"

	"easel/comfy/workflow"
)

// What a graph needs of a server is written as words: "node:KSampler" for a class, and
// "model:CheckpointLoaderSimple.ckpt_name=sd15.safetensors" for a file that an input chooses.
const (
	needNode  = "node:"
	needModel = "model:"
)

// needsOf lists what a graph needs, sorted. Choices other than models, such as samplers, are left to ComfyUI's own check.
func needsOf(graph workflow.Graph) []string {
	needs := make([]string, 0, 2*len(graph))
	for _, n := range graph {
		needs = append(needs, needNode+n.ClassType)
		for input := range n.Inputs {
			file, ok := n.Text(input)
			if ok && workflow.IsModelFile(file) {
				needs = append(needs, needModel+n.ClassType+"."+input+"="+file)
			}
		}
	}
	slices.Sort(needs)
	return slices.Compact(needs)
}

// lacking lists which of the needs a server does not have. One whose classes are not known lacks nothing that we
// could name.
func lacking(needs []string, info *workflow.ObjectInfo) (lacks []string) {
	if info == nil {
		return nil
	}
	for _, need := range needs {
		if !offers(info, need) {
			lacks = append(lacks, need)
		}
	}
	return lacks
}

func offers(info *workflow.ObjectInfo, need string) bool {
	if name, ok := strings.CutPrefix(need, needNode); ok {
		_, known := info.Class(name)
		return known
	}
	where, file, _ := strings.Cut(strings.TrimPrefix(need, needModel), "=")
	dot := strings.LastIndexByte(where, '.')
	if dot < 0 {
		return true // a word of another release
	}
	class, known := info.Class(where[:dot])
	if !known {
		return false
	}
	in, known := class.Input(where[dot+1:])
	return !known || in.Type != workflow.TypeCombo || in.Remote || slices.Contains(in.Choices, file)
}

// modelsOf are those of the needs that are models.
func modelsOf(needs []string) []string {
	models := []string{}
	for _, need := range needs {
		if strings.HasPrefix(need, needModel) {
			models = append(models, need)
		}
	}
	return models
}

// sayMissing says what no server has.
func sayMissing(need string) string {
	if name, ok := strings.CutPrefix(need, needNode); ok {
		return "No server has the node " + label(name)
	}
	_, file, _ := strings.Cut(need, "=")
	return "No server has the model " + label(file)
}

// missing says in words what keeps every server from running something; empty when one of them can, or may. A need
// that no server has at all is named first.
func (f *forms) missing(needs []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := strings.Join(needs, "\n")
	if said, ok := f.said[key]; ok {
		return said
	}
	said, nobody := "", ""
	for _, info := range f.infos {
		lacks := lacking(needs, info)
		if len(lacks) == 0 {
			said, nobody = "", ""
			break
		}
		said = "No server has all that this needs"
		for _, need := range lacks {
			if !slices.ContainsFunc(f.known(), func(other *workflow.ObjectInfo) bool { return offers(other, need) }) {
				nobody = need
			}
		}
	}
	if nobody != "" {
		said = sayMissing(nobody)
	}
	if len(f.said) >= maxSaid {
		clear(f.said)
	}
	f.said[key] = said
	return said
}

// maxSaid bounds how many kinds of needs are remembered with their answer.
const maxSaid = 1000

// known are the classes of all servers; mu is held.
func (f *forms) known() []*workflow.ObjectInfo {
	list := make([]*workflow.ObjectInfo, 0, len(f.infos))
	for _, info := range f.infos {
		list = append(list, info)
	}
	return list
}
