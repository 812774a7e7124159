package bench

import (
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"easel/test/harness"
)

// BenchmarkStart measures from the start of the program to the first page served, with the
// private Postgres: on a fresh folder (it makes its database), and on one that was used before.
func BenchmarkStart(b *testing.B) {
	harness.Binary(b, true) // built before anything is timed
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			begin := time.Now()
			easel := harness.Start(b, harness.Options{Plain: true})
			firstPage(b, easel)
			b.ReportMetric(time.Since(begin).Seconds(), "s")
			easel.Stop()
		}
		b.ReportMetric(0, "ns/op")
	})
	b.Run("warm", func(b *testing.B) {
		easel := harness.Start(b, harness.Options{Plain: true})
		for b.Loop() {
			easel.Stop()
			begin := time.Now()
			easel.Restart()
			firstPage(b, easel)
			b.ReportMetric(time.Since(begin).Seconds(), "s")
		}
		b.ReportMetric(0, "ns/op")
	})
}

func firstPage(b *testing.B, easel *harness.Easel) {
	if status, _ := easel.Get("/"); status != http.StatusOK {
		b.Fatalf("GET /: %d", status)
	}
}

var assets = regexp.MustCompile(`(?:src|href)="(/static/[^"#]+)"`)

// BenchmarkFirstPage weighs the first page over the wire, with all that it asks for, as a browser
// gets it.
func BenchmarkFirstPage(b *testing.B) {
	easel := harness.Start(b, harness.Options{Plain: true})
	for b.Loop() {
		_, page := easel.Get("/")
		bytes, requests := weigh(b, easel.URL+"/"), 1
		seen := map[string]bool{}
		for _, asset := range assets.FindAllStringSubmatch(page, -1) {
			if !seen[asset[1]] {
				seen[asset[1]] = true
				bytes, requests = bytes+weigh(b, easel.URL+asset[1]), requests+1
			}
		}
		b.ReportMetric(float64(bytes)/1000, "kB")
		b.ReportMetric(float64(requests), "requests")
	}
	b.ReportMetric(0, "ns/op")
}

// weigh is the length of an answer's body to somebody who takes gzip.
func weigh(b *testing.B, address string) int64 {
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip") // set by hand, net/http leaves the body packed
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.Fatalf("GET %s: %s, %v", address, response.Status, err)
	}
	return n
}
