package studio

import (
	"encoding/json"

	"easel/comfy"
)

// Calibration is what was said of an attempt while it ran, held against what came: the attempt took Seconds from
// ComfyUI's start until its files were stored, so at each moment the true number is the share of them that had
// passed. It is the form of the column attempts.calibration.
type Calibration struct {
	Seconds float64                     `json:"seconds,omitempty"` // 0: it has not ended yet
	Errors  PointErrors                 `json:"errors,omitzero"`   // over the whole run
	Phases  map[comfy.Phase]PointErrors `json:"phases,omitempty"`  // of setup, inference and finishing, those that there were
	First   *FirstETA                   `json:"first,omitempty"`   // nil: no end was ever foretold
	Samples []Sample                    `json:"samples,omitempty"` // in the order of time, at most mostSamples
}

// PointErrors are mean absolute errors in points (of 100) of Easel's number and of the two bars that others show.
type PointErrors struct {
	Overall float64 `json:"overall"`
	Nodes   float64 `json:"nodes"`   // nodes that are over, of all
	Steps   float64 `json:"steps"`   // sampler steps alone
	Seconds float64 `json:"seconds"` // how long this is the mean of
}

// FirstETA is the first end that was foretold, in seconds since ComfyUI's start.
type FirstETA struct {
	At     float64 `json:"at"` // when it was said
	Low    float64 `json:"low"`
	Mean   float64 `json:"mean"`
	High   float64 `json:"high"`
	Inside bool    `json:"inside"` // whether the attempt ended between Low and High; of one that has ended
}

// Sample is what three bars showed at one moment of a run, 0 to 100, At seconds after ComfyUI's start.
type Sample struct {
	At      float64     `json:"at"`
	Phase   comfy.Phase `json:"phase"`
	Overall int         `json:"overall"`
	Nodes   int         `json:"nodes"`
	Steps   int         `json:"steps"`
}

// readCalibration is that of an attempt that has ended; nil: there is none.
func readCalibration(raw []byte) *Calibration {
	var c Calibration
	if len(raw) == 0 || json.Unmarshal(raw, &c) != nil || c.Seconds <= 0 {
		return nil
	}
	return &c
}
