package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"easel/comfy/simulator"
	"easel/failpoint"
	"easel/test/harness"
)

// Killed right after the commit that ends a generation, with nothing posted yet: that commit has written
// the delivery down, and the next start posts it, once.
func TestWebhookAfterKill(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, string(body))
	}))
	t.Cleanup(receiver.Close)
	comfy, err := simulator.Start("127.0.0.1:0", simulator.Config{PreviewSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(comfy.Close)
	v := &victim{t: t, comfy: comfy, Easel: harness.Start(t, harness.Options{ComfyUI: comfy.URL(), Env: []string{
		"EASEL_WEBHOOK=" + receiver.URL, "EASEL_ALLOW_PRIVATE_WEBHOOKS=true",
	}})}
	g := v.dieAt(failpoint.AfterSucceed)
	v.once(failpoint.AfterSucceed, g, 1)
	harness.Eventually(t, "the delivery is over", func() bool {
		return v.Count("SELECT count(*) FROM webhook_deliveries WHERE generation_id = $1 AND state = 'delivered'", g.ID) == 1
	})
	mu.Lock()
	defer mu.Unlock()
	if len(bodies) != 1 || !strings.Contains(bodies[0], g.ID) || !strings.Contains(bodies[0], `"complete"`) {
		t.Errorf("posted %d times: %q", len(bodies), bodies)
	}
}
