package handlers

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// The page says in a sentence, a picture and tables how true the progress was; JSON has the same.
func TestCalibrationPage(t *testing.T) {
	f := newFake()
	s := newSite(t, f)
	doc, _ := page(t, s, "/calibration", http.StatusOK)
	if got := words(doc.Find("main")); !strings.Contains(got, "No run has been measured yet.") || doc.Find("table").Length() != 0 {
		t.Errorf("without runs: %q", got)
	}
	for range 30 {
		madeState(f, 1)
	}
	f.calibrate()
	doc, _ = page(t, s, "/calibration", http.StatusOK)
	if got, want := words(doc.Find("main p").First()), "Over the last 30 runs the number was 2.8 points off on average. "+
		"A bar that counts nodes would have been off by 31.0, one that counts sampler steps alone by 14.6."; !strings.HasPrefix(got, want) {
		t.Errorf("sentence = %q", got)
	}
	if got, want := words(doc.Find("table").First().Find("tbody tr").Eq(1)), "Sampling3.033.016.030"; strings.ReplaceAll(got, " ", "") != want {
		t.Errorf("by phase = %q", got)
	}
	if n := doc.Find("table.runs tbody tr").Length(); n != runsShown {
		t.Errorf("%d runs are listed, want %d", n, runsShown)
	}
	if points := strings.Fields(doc.Find("polyline[data-bar=easel]").AttrOr("points", "")); len(points) != 21 || points[20] != "100.0,2.0" {
		t.Errorf("the line is %q", points)
	}
	doc, _ = page(t, s, "/settings", http.StatusOK)
	if doc.Find("a[href='/calibration']").Length() != 1 {
		t.Error("the settings do not lead to it")
	}
	var got calibrationJSON
	res := call(t, s, "GET", "/api/calibration", "")
	if text := bodyOf(t, res); json.Unmarshal([]byte(text), &got) != nil {
		t.Fatalf("%d: %s", res.StatusCode, text)
	}
	if got.Runs != 30 || got.Errors.Nodes != 31.02 || got.Phases["setup"].Runs != 9 || len(got.Recent) != 30 || len(got.Curve) != 21 ||
		got.Ranges.Told != 24 || got.Recent[0].Seconds != 40.5 {
		t.Errorf("JSON = %+v", got)
	}
}
