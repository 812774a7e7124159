package studio_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"easel/comfy/simulator"
	"easel/db"
	"easel/studio"
)

const webhookSecret = "the secret of the tests"

// receiver takes webhooks and keeps what came. Its answers come from a list, the last for ever.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	answers []int
	hang    chan struct{} // not nil: every request waits for it
	got     []received
}

type received struct{ Path, Event, Delivery, Body string }

func receive(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	status := http.StatusOK
	if len(r.answers) > 0 {
		status = r.answers[0]
		if len(r.answers) > 1 {
			r.answers = r.answers[1:]
		}
	}
	r.got = append(r.got, received{q.URL.Path, q.Header.Get("Easel-Event"), q.Header.Get("Easel-Delivery"), string(body)})
	hang := r.hang
	r.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-q.Context().Done():
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "thanks")
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) request(prompt string) studio.Request {
	asked := request(prompt)
	address := r.URL + "/" + prompt
	asked.Webhook = &address
	return asked
}

// deliveries waits until a generation has n deliveries, all ended, and gives them.
func (w *workshop) deliveries(id uuid.UUID, n int) []studio.Delivery {
	w.t.Helper()
	var list []studio.Delivery
	w.eventually("delivered or given up", func() bool {
		page, err := w.studio.Deliveries(w.t.Context(), studio.DeliveryFilter{Generation: id})
		if err != nil {
			w.t.Fatal(err)
		}
		list = page.Deliveries
		return len(list) == n && !slices.ContainsFunc(list, func(d studio.Delivery) bool { return d.State == studio.DeliveryPending })
	})
	return list
}

// Every end of a generation is told once, whichever statement has ended it.
func TestWebhookOfEachEnd(t *testing.T) {
	t.Parallel()
	r := receive(t)
	w := open(t, stepping)
	running := w.create(r.request("stopped"))
	w.atStep(1)
	waiting := w.create(r.request("never-began"))
	if _, changed, err := w.studio.Cancel(t.Context(), waiting.ID); err != nil || !changed {
		t.Fatalf("Cancel() = %t, %v", changed, err)
	}
	w.await(running.ID, "running", func(s *studio.State) bool { return s.Generation.Images[0].AttemptState == "running" })
	if _, _, err := w.studio.Cancel(t.Context(), running.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("interrupted", func() bool { return len(w.comfy.Ledger().Interrupts()) > 0 })
	// What is still in ComfyUI's queue when it goes on may complete.
	w.awaitStatus(waiting.ID, studio.Cancelled)
	w.stepper.Open()
	done := w.create(r.request("done"))
	w.awaitStatus(done.ID, studio.Complete)
	w.comfy.Faults().OutOfMemory(9)
	failed := w.create(r.request("failed"))
	w.awaitStatus(failed.ID, studio.Failed)
	w.comfy.Faults().Reset()
	quiet := w.create(request("without"))
	w.awaitStatus(quiet.ID, studio.Complete)

	want := map[uuid.UUID]string{
		running.ID: "generation.cancelled", waiting.ID: "generation.cancelled",
		done.ID: "generation.complete", failed.ID: "generation.failed",
	}
	for id, event := range want {
		d := w.deliveries(id, 1)[0]
		if d.State != studio.DeliveryDelivered || d.Event != event || len(d.Tries) != 1 || d.Tries[0].Status != 200 || d.Tries[0].Response != "thanks" {
			t.Errorf("%s: %+v", event, d)
		}
		n := 0
		for _, got := range r.all() {
			if strings.Contains(got.Body, id.String()) {
				n++
				if got.Event != event || got.Delivery != d.ID.String() {
					t.Errorf("%s: received %+v", event, got)
				}
			}
		}
		if n != 1 {
			t.Errorf("%s was posted %d times", event, n)
		}
	}
	if n := w.count("SELECT count(*) FROM webhook_deliveries"); n != len(want) {
		t.Errorf("%d deliveries, want %d", n, len(want))
	}
}

// A receiver that is out of order gets it when it is back, under the same id, and what it answered
// is kept; redelivering sends it once more.
func TestWebhookRetriesAndRedelivers(t *testing.T) {
	t.Parallel()
	r := receive(t, 500, 429, 404, 200)
	w := open(t)
	g := w.create(r.request("retried"))
	d := w.deliveries(g.ID, 1)[0]
	if d.State != studio.DeliveryDelivered || len(d.Tries) != 4 {
		t.Fatalf("%+v", d)
	}
	for i, want := range []int{500, 429, 404, 200} {
		if try := d.Tries[i]; try.Status != want || try.Number != i+1 || (try.Error == "") != (want == 200) {
			t.Errorf("try %d: %+v", i+1, try)
		}
	}
	if _, err := w.studio.Redeliver(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("delivered again", func() bool { return len(r.all()) == 5 })
	again := w.deliveries(g.ID, 1)[0]
	if len(again.Tries) != 5 || again.ID != d.ID {
		t.Errorf("after redelivery: %+v", again)
	}
	for _, got := range r.all() {
		if got.Delivery != d.ID.String() || got.Body != r.all()[0].Body {
			t.Errorf("received %+v", got)
		}
	}
	if _, err := w.studio.Redeliver(t.Context(), uuid.New()); !errors.Is(err, studio.ErrNoDelivery) {
		t.Errorf("Redeliver of nothing: %v", err)
	}
}

func TestWebhookGivesUp(t *testing.T) {
	t.Parallel()
	w := open(t)
	gone := receive(t, http.StatusGone)
	refusing := receive(t, http.StatusForbidden)
	one, two := w.create(gone.request("gone")), w.create(refusing.request("refused"))
	if d := w.deliveries(one.ID, 1)[0]; d.State != studio.DeliveryFailed || len(d.Tries) != 1 {
		t.Errorf("gone: %+v", d)
	}
	if d := w.deliveries(two.ID, 1)[0]; d.State != studio.DeliveryFailed || len(d.Tries) != 8 {
		t.Errorf("refused: %+v", d)
	}
	// A day after the end no further try is made, however the receiver is out of order.
	broken := receive(t, http.StatusBadGateway)
	three := w.create(broken.request("broken"))
	w.eventually("tried", func() bool { return len(broken.all()) > 1 })
	if _, err := w.pool.Exec(t.Context(), "UPDATE webhook_deliveries SET round_at = now() - interval '24 hours' WHERE generation_id = $1", three.ID); err != nil {
		t.Fatal(err)
	}
	if d := w.deliveries(three.ID, 1)[0]; d.State != studio.DeliveryFailed {
		t.Errorf("after a day: %+v", d)
	}
}

// The default of the settings holds for what names none of its own, and can be declined.
func TestWebhookDefault(t *testing.T) {
	t.Parallel()
	r := receive(t)
	w := open(t)
	w.awaitServer(studio.ServerUp)
	if _, err := w.studio.TestWebhook(t.Context()); !errors.Is(err, studio.ErrNoWebhook) {
		t.Errorf("TestWebhook() without one = %v", err)
	}
	if err := w.studio.SetWebhook(t.Context(), r.URL+"/default"); err != nil {
		t.Fatal(err)
	}
	watch, err := w.studio.WatchDeliveries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	ping, err := w.studio.TestWebhook(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the test is seen by those who watch", func() bool {
		list := watch.Latest()
		return len(list) == 1 && list[0].ID == ping.ID && list[0].State == studio.DeliveryDelivered
	})
	none := ""
	declined := request("declined")
	declined.Webhook = &none
	w.awaitStatus(w.create(declined).ID, studio.Complete)
	asked := w.create(request("by default"))
	w.awaitStatus(asked.ID, studio.Complete)
	if d := w.deliveries(asked.ID, 1)[0]; d.URL != r.URL+"/default" {
		t.Errorf("%+v", d)
	}
	if n := w.count("SELECT count(*) FROM webhook_deliveries"); n != 2 {
		t.Errorf("%d deliveries, want the test and one", n)
	}
	again, err := w.studio.Retry(t.Context(), asked.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.deliveries(again.ID, 1)
	if err := w.studio.Delete(t.Context(), asked.ID); err != nil {
		t.Fatal(err)
	}
	if page, err := w.studio.Deliveries(t.Context(), studio.DeliveryFilter{Generation: asked.ID}); err != nil || len(page.Deliveries) != 0 {
		t.Errorf("a deleted generation has %d deliveries, %v", len(page.Deliveries), err)
	}
}

// A receiver that hangs holds up nobody: pictures are made all the same, the end of none waits, and other
// receivers get theirs.
func TestWebhookHangs(t *testing.T) {
	t.Parallel()
	hanging, other := receive(t), receive(t)
	hanging.hang = make(chan struct{})
	w := open(t)
	for range 12 { // more than there are workers
		w.awaitStatus(w.create(hanging.request("hanging")).ID, studio.Complete)
	}
	w.eventually("it hangs", func() bool { return len(hanging.all()) > 0 })
	g := w.create(other.request("another"))
	if d := w.deliveries(g.ID, 1)[0]; d.State != studio.DeliveryDelivered {
		t.Errorf("%+v", d)
	}
	if n := w.count("SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'"); n != 12 {
		t.Errorf("%d deliveries are under way to the receiver that hangs, want all 12", n)
	}
	close(hanging.hang)
}

// chore has a chore done now, as a job like that of every minute or hour.
func (w *workshop) chore(what string) {
	w.t.Helper()
	w.exec("INSERT INTO river.river_job (kind, args, max_attempts) VALUES ('tidy', jsonb_build_object('what', $1::text), 1)", what)
}

// A delivery whose job is gone, because somebody has emptied River's tables, gets another by the chore of
// every minute once it is overdue; one that is merely between two tries is left alone.
func TestWebhookJobGone(t *testing.T) {
	t.Parallel()
	r := receive(t, http.StatusBadGateway)
	w := open(t, func(w *workshop, _ *simulator.Config) { w.timing.RetryWebhook = time.Hour })
	w.awaitServer(studio.ServerUp)
	overdue, waiting := w.create(r.request("overdue")), w.create(r.request("waiting"))
	w.awaitStatus(overdue.ID, studio.Complete)
	w.awaitStatus(waiting.ID, studio.Complete)
	w.eventually("tried", func() bool {
		return w.count("SELECT count(*) FROM webhook_deliveries WHERE tries = 1 AND next_try_at > now() + interval '10 minutes'") == 2
	})
	r.mu.Lock()
	r.answers = nil
	r.mu.Unlock()
	w.exec("DELETE FROM river.river_job WHERE kind = 'webhook'")
	w.exec("UPDATE webhook_deliveries SET next_try_at = now() - interval '11 minutes' WHERE generation_id = $1", overdue.ID)
	w.chore("webhooks")
	if d := w.deliveries(overdue.ID, 1)[0]; d.State != studio.DeliveryDelivered || len(d.Tries) != 2 {
		t.Errorf("%+v", d)
	}
	if n := w.count("SELECT count(*) FROM river.river_job WHERE kind = 'webhook'"); n != 1 {
		t.Errorf("%d jobs were made, want that of the overdue delivery", n)
	}
}

// What may not be an address is refused with the field's name, before anything is stored.
func TestWebhookRefused(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.publicWebhooks = true })
	w.awaitServer(studio.ServerUp)
	asked := request("refused")
	for _, address := range []string{"http://example.com", "https://127.0.0.1/", "gopher://x", "https://u:p@example.com"} {
		asked.Webhook = &address
		_, _, err := w.studio.Create(t.Context(), asked)
		invalid, ok := errors.AsType[*studio.InvalidError](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Field != "webhook" {
			t.Errorf("Create(%s) = %v", address, err)
		}
		if err := w.studio.SetWebhook(t.Context(), address); err == nil {
			t.Errorf("SetWebhook(%s) took it", address)
		}
	}
	if n := w.count("SELECT count(*) FROM generations"); n != 0 {
		t.Errorf("%d generations were stored", n)
	}
}

// The log forgets what ended a month ago, and not what somebody asked for again since.
func TestWebhookPrune(t *testing.T) {
	t.Parallel()
	w := open(t, func(w *workshop, _ *simulator.Config) { w.unserved = true })
	for _, ended := range []string{"now() - interval '31 days'", "now() - interval '1 day'"} {
		w.exec("INSERT INTO webhook_deliveries (event, url, state, next_try_at, created_at, ended_at) " +
			"VALUES ('ping', 'https://example.com', 'delivered', NULL, now() - interval '40 days', " + ended + ")")
	}
	if n, err := db.New(w.pool).WebhookPrune(t.Context()); err != nil || n != 1 {
		t.Errorf("WebhookPrune() = %d, %v, want 1", n, err)
	}
}
