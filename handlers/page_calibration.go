package handlers

import (
	"math"
	"net/http"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/studio"
	"easel/views"
)

// calibrationRoutes are the page of how true the progress was, and the same for programs.
func (s *Server) calibrationRoutes() {
	s.route("GET /calibration", negotiate(faces{HTML: s.showCalibration, Datastar: s.streamCalibration, JSON: s.apiCalibration}))
	s.route("GET /api/calibration", s.apiCalibration)
}

// runsShown is how many runs the page lists one by one; all that were read are in its figures.
const runsShown = 25

// showCalibration holds what was said of the last runs against what came.
func (s *Server) showCalibration(w http.ResponseWriter, r *http.Request) error {
	c, err := s.studio.Calibrations(r.Context())
	if err != nil {
		return err
	}
	page := s.page(r, "settings", "Calibration")
	page.Live = s.paths.Calibration()
	return render(w, r, http.StatusOK, views.CalibrationPage(page, calibrationView(c)))
}

// streamCalibration keeps the header up to date; the figures are those of when the page was asked for.
func (s *Server) streamCalibration(w http.ResponseWriter, r *http.Request) error {
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	return s.follow(st, overview.Changed(), nil, func(sent) []part { return s.statusParts(overview.Latest()) })
}

// phaseNames are the phases of a run as the page calls them.
var phaseNames = map[comfy.Phase]string{
	comfy.PhaseSetup: "Loading and encoding", comfy.PhaseInference: "Sampling", comfy.PhaseFinishing: "Decoding, saving and storing",
}

func calibrationView(c studio.Calibrations) views.CalibrationView {
	shown := views.CalibrationView{
		Count: len(c.Runs), Errors: barErrors(c.Errors), Ranged: c.Ranges[0].Told, Inside: c.Ranges[0].Inside, Now: time.Now(),
	}
	for _, p := range c.Phases {
		shown.Phases = append(shown.Phases, views.PhaseErrors{Name: phaseNames[p.Phase], Runs: p.Runs, BarErrors: barErrors(p.PointErrors)})
	}
	for _, p := range c.Curve {
		shown.Curve = append(shown.Curve, views.CurvePoint{
			Actual: p.Actual, Shown: views.BarErrors{Easel: p.Overall, Nodes: p.Nodes, Steps: p.Steps}, Low: p.Low, High: p.High,
		})
	}
	for i := range c.Runs[:min(len(c.Runs), runsShown)] {
		run := &c.Runs[i]
		row := views.CalibratedRun{
			Generation: run.Generation.String(), Prompt: run.Prompt, Image: run.ImageIndex, At: run.FinishedAt,
			Took: duration(run.Seconds), Errors: barErrors(run.Errors),
		}
		if run.First != nil {
			row.Said, row.Inside = views.SaidRange(duration(run.First.Low), duration(run.First.High)), run.First.Inside
		}
		shown.Runs = append(shown.Runs, row)
	}
	return shown
}

func barErrors(e studio.PointErrors) views.BarErrors {
	return views.BarErrors{Easel: e.Overall, Nodes: e.Nodes, Steps: e.Steps}
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// calibrationJSON is the page for programs. Errors are mean absolute ones, in points of 100.
type calibrationJSON struct {
	Runs   int                  `json:"runs"`
	Errors *studio.PointErrors  `json:"errors"` // null without runs
	Phases map[string]phaseJSON `json:"phases"`
	Ranges rangesJSON           `json:"ranges"`
	Curve  []curveJSON          `json:"curve"`
	Recent []calibratedRunJSON  `json:"recent"` // newest first
}

type phaseJSON struct {
	Runs int `json:"runs"`
	studio.PointErrors
}

// rangesJSON counts runs of which an end was foretold, and those that ended in the range said first.
type rangesJSON struct {
	rangeJSON
	Later []laterJSON `json:"later"`
}

type rangeJSON struct {
	Told   int `json:"told"`
	Inside int `json:"inside"`
}

// laterJSON is the same of the ranges said first after From percent of a run.
type laterJSON struct {
	From int `json:"from"`
	rangeJSON
}

type curveJSON struct {
	Actual  float64 `json:"actual"`
	Overall float64 `json:"overall"`
	Nodes   float64 `json:"nodes"`
	Steps   float64 `json:"steps"`
	Low     float64 `json:"low"` // of overall in eight runs of ten
	High    float64 `json:"high"`
}

type calibratedRunJSON struct {
	GenerationID uuid.UUID          `json:"generationId"`
	ImageIndex   int                `json:"imageIndex"`
	Workflow     string             `json:"workflow"`
	FinishedAt   string             `json:"finishedAt"`
	Seconds      float64            `json:"seconds"`
	Errors       studio.PointErrors `json:"errors"`
	First        *studio.ETASaid    `json:"first"`
}

// rounded is x to three digits after the point, which no measurement goes beyond.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }

func roundedErrors(e studio.PointErrors) studio.PointErrors {
	return studio.PointErrors{Overall: rounded(e.Overall), Nodes: rounded(e.Nodes), Steps: rounded(e.Steps), Seconds: rounded(e.Seconds)}
}

func roundedRange(said *studio.ETASaid) *studio.ETASaid {
	if said == nil {
		return nil
	}
	r := *said
	r.At, r.Low, r.Mean, r.High = rounded(r.At), rounded(r.Low), rounded(r.Mean), rounded(r.High)
	return &r
}

// apiCalibration is how true the progress of the last runs was.
func (s *Server) apiCalibration(w http.ResponseWriter, r *http.Request) error {
	c, err := s.studio.Calibrations(r.Context())
	if err != nil {
		return err
	}
	shown := calibrationJSON{
		Runs: len(c.Runs), Phases: make(map[string]phaseJSON, len(c.Phases)), Ranges: rangesJSON{rangeJSON: rangeJSON(c.Ranges[0])},
		Curve: make([]curveJSON, 0, len(c.Curve)), Recent: make([]calibratedRunJSON, 0, len(c.Runs)),
	}
	if len(c.Runs) > 0 {
		errors := roundedErrors(c.Errors)
		shown.Errors = &errors
	}
	for i, later := range c.Ranges[1:] {
		shown.Ranges.Later = append(shown.Ranges.Later, laterJSON{(i + 1) * 100 / len(c.Ranges), rangeJSON(later)})
	}
	for _, p := range c.Phases {
		shown.Phases[string(p.Phase)] = phaseJSON{p.Runs, roundedErrors(p.PointErrors)}
	}
	for _, p := range c.Curve {
		shown.Curve = append(shown.Curve, curveJSON{
			p.Actual, rounded(p.Overall), rounded(p.Nodes), rounded(p.Steps), rounded(p.Low), rounded(p.High),
		})
	}
	for i := range c.Runs {
		run := &c.Runs[i]
		shown.Recent = append(shown.Recent, calibratedRunJSON{
			run.Generation, run.ImageIndex, run.Workflow, timeText(run.FinishedAt),
			rounded(run.Seconds), roundedErrors(run.Errors), roundedRange(run.First),
		})
	}
	return answerJSON(w, http.StatusOK, shown)
}
