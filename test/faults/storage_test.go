package faults

import (
	"math/rand/v2"
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"easel/comfy/simulator"
	"easel/test/harness"
)

// The storage in S3 is away for a while (row 36, P06): finished pictures wait in their ComfyUI and say "Storing",
// nothing fails, and all are there when it is back.
func TestFault36_StorageAway(t *testing.T) {
	t.Parallel()
	backend := s3mem.New()
	if err := backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	road := harness.NewProxy(t, server.URL)
	in := harness.StartInstallation(t, harness.Scale{
		Instances: 2, Servers: 1, ComfyUI: simulator.Config{PreviewSize: 64}, Env: []string{
			"EASEL_STORAGE=s3://pictures/easel?insecure=true&region=us-east-1&endpoint=" + road.Addr(),
			"EASEL_S3_ACCESS_KEY=test", "EASEL_S3_SECRET_KEY=secret",
		},
	})
	ledger := harness.NewLedger(t, in)
	e := in.Easels[0]
	random := rand.New(rand.NewPCG(1, 2))
	e.AwaitStatus(ledger.Ask(t.Context(), random, harness.Ask{Prompt: "kept far away", Key: "far", Steps: 4}), "complete")
	road.Cut()
	id := ledger.Ask(t.Context(), random, harness.Ask{Prompt: "waits for its place", Key: "waits", Steps: 4})
	refused := road.Refused()
	harness.Eventually(t, "was storing tried again", func() bool { return road.Refused() > refused+3 })
	g := e.Await(id, "is being stored", func(g harness.Generation) bool { return g.Progress.Phase == "finishing" })
	if g.Status != "generating" || g.Progress.Status != "Storing" {
		t.Errorf("without storage it is %+v", g)
	}
	if status, body := e.Get("/readyz"); status != 200 {
		t.Errorf("/readyz without storage: %d %s", status, body)
	}
	road.Mend()
	in.Easels[1].AwaitStatus(id, "complete")
	ledger.Check(t)
	checkOnce(t, in, 2)
}
