package workflow

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
)

// savedGraph is the editor's file, or the definition of a subgraph in it. It is read leniently:
// a member of a wrong type is as good as none.
type savedGraph struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Version     json.RawMessage `json:"version"`
	Nodes       []*savedNode    `json:"nodes"`
	Links       json.RawMessage `json:"links"`
	Groups      []savedGroup    `json:"groups"`
	Inputs      []savedPort     `json:"inputs"`  // of a definition
	Outputs     []savedPort     `json:"outputs"` // of a definition
	Definitions struct {
		Subgraphs []*savedGraph `json:"subgraphs"`
	} `json:"definitions"`
	Extra struct {
		Info struct {
			Name string `json:"name"`
		} `json:"info"`
	} `json:"extra"`
}

type savedNode struct {
	ID         json.RawMessage `json:"id"` // a number; text in some files
	Type       string          `json:"type"`
	Title      string          `json:"title"`
	Mode       float64         `json:"mode"`
	Inputs     []savedSlot     `json:"inputs"`
	Outputs    []savedSlot     `json:"outputs"`
	Values     json.RawMessage `json:"widgets_values"`
	Properties savedProperties `json:"properties"`
	Pos        json.RawMessage `json:"pos"` // [x, y], or {"0": x, "1": y}
	Size       json.RawMessage `json:"size"`
}

type savedSlot struct {
	Name string          `json:"name"`
	Type json.RawMessage `json:"type"`
	Link json.RawMessage `json:"link"` // of an input; null, or a number
}

type savedPort struct {
	Name    string            `json:"name"`
	Type    json.RawMessage   `json:"type"`
	LinkIDs []json.RawMessage `json:"linkIds"`
}

type savedGroup struct {
	Title    string    `json:"title"`
	Bounding []float64 `json:"bounding"` // x, y, width, height
}

type savedProperties struct {
	SearchName    string `json:"Node name for S&R"`
	Pack          string `json:"cnr_id"` // the name of the pack in ComfyUI's registry
	Repository    string `json:"aux_id"` // owner/name on GitHub, of a pack that is in no registry
	ReplaceValues bool   `json:"Run widget replace on values"`
}

// pack is where a node comes from; ComfyUI's own say so, too, and are no pack.
func (p savedProperties) pack() string {
	if p.Pack == "comfy-core" {
		return ""
	}
	if p.Pack != "" {
		return p.Pack
	}
	return p.Repository
}

func (g *savedGraph) title() string {
	if g.Extra.Info.Name != "" {
		return g.Extra.Info.Name
	}
	return g.Name
}

// readSaved reads the file. Like ParseGraph it refuses keys that stand twice and deep nesting
// before anything is decoded.
func readSaved(data []byte) (*savedGraph, error) {
	if err := CheckJSON(data, MaxGraphDepth); err != nil {
		return nil, err
	}
	g := &savedGraph{}
	if err := json.Unmarshal(data, g); err != nil {
		if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); !wrongType {
			return nil, &JSONError{Problem: "it is not JSON: " + err.Error()}
		}
	}
	if g.Nodes == nil {
		return nil, &GraphError{Problem: "this is no saved graph of ComfyUI's editor: it has no list of nodes"}
	}
	return g, nil
}

// uiLink is a line of the editor, from an output to an input.
type uiLink struct {
	from     string // id of the node, or inputsNode
	fromSlot int
	to       string // id of the node, or outputsNode
	toSlot   int
}

// What stands for the outside in the links of a subgraph.
const (
	inputsNode  = "-10"
	outputsNode = "-20"
)

// links reads arrays where the version is the number 0.4, and objects everywhere else, as the
// editor does.
func (g *savedGraph) links() map[string]uiLink {
	var list []json.RawMessage
	if json.Unmarshal(g.Links, &list) != nil {
		return nil
	}
	version := number(g.Version)
	arrays := version != nil && *version == 0.4
	links := make(map[string]uiLink, len(list))
	for _, raw := range list {
		var id, from, to, fromSlot, toSlot json.RawMessage
		if arrays {
			var a []json.RawMessage
			if json.Unmarshal(raw, &a) != nil || len(a) < 5 {
				continue
			}
			id, from, fromSlot, to, toSlot = a[0], a[1], a[2], a[3], a[4]
		} else {
			var o struct {
				ID       json.RawMessage `json:"id"`
				From     json.RawMessage `json:"origin_id"`
				FromSlot json.RawMessage `json:"origin_slot"`
				To       json.RawMessage `json:"target_id"`
				ToSlot   json.RawMessage `json:"target_slot"`
			}
			if json.Unmarshal(raw, &o) != nil {
				continue
			}
			id, from, fromSlot, to, toSlot = o.ID, o.From, o.FromSlot, o.To, o.ToSlot
		}
		if key := idText(id); key != "" {
			links[key] = uiLink{from: idText(from), fromSlot: slotNumber(fromSlot), to: idText(to), toSlot: slotNumber(toSlot)}
		}
	}
	return links
}

// idText is an id as text: 7 and "7" are the same node; "" for null and all else.
func idText(raw json.RawMessage) string {
	switch {
	case isNumber(raw):
		return string(raw)
	case isString(raw):
		s, _ := unquote(raw)
		return s
	}
	return ""
}

// slotNumber is the place of an input or output; -1 when it is none.
func slotNumber(raw json.RawMessage) int {
	f := number(raw)
	if f == nil || *f < 0 || *f > math.MaxInt32 {
		return -1
	}
	return int(*f)
}

// slotType is the type of a slot. The editor writes events as the number -1, which nothing fits.
func slotType(raw json.RawMessage) string {
	if isArray(raw) {
		return TypeCombo
	}
	return idText(raw)
}

// isGroupNode knows the group nodes of editors before subgraphs by how they named their class.
func isGroupNode(class string) bool {
	return strings.HasPrefix(class, "workflow>") || strings.HasPrefix(class, "workflow/")
}

// renamed are classes that the editor itself reads as another.
var renamed = map[string]string{
	"T2IAdapterLoader":         "ControlNetLoader",
	"ConditioningAverage ":     "ConditioningAverage",
	"SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
}
