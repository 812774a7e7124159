package browser

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The tab itself must see what later tests rely on: violations, exceptions, scripts off.
func TestTabSeesTrouble(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<title>t</title><p id="p">still</p><script>document.getElementById('p').textContent = 'run'</script>`))
	}))
	defer site.Close()
	tab := Open(t, site.URL, TabOptions{})
	tab.Goto("/")
	tab.WaitText("#p", "still")
	if c := tab.Complaints(); len(c) == 0 {
		t.Error("a violation of the CSP was not noticed")
	}
	quiet := Open(t, site.URL, TabOptions{NoScript: true, Width: 390, Height: 844, Dark: true})
	quiet.Goto("/")
	quiet.WaitText("#p", "still")
	if width := Eval[int](quiet, "innerWidth"); width != 980 && width != 390 {
		t.Errorf("innerWidth = %d, want that of a phone", width)
	}
	quiet.NoComplaints()
}
