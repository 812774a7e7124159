package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"easel/studio"
	"easel/views"
)

// settingsRoutes are the page of settings, its stream and its forms.
func (s *Server) settingsRoutes() {
	s.route("GET /settings", negotiate(faces{HTML: s.showSettings, Datastar: s.streamSettings}))
	s.route("POST /settings/webhook", s.setWebhook)
	s.route("POST /settings/webhook/test", s.testWebhook)
	s.route("POST /settings/webhook/secret", s.showSecret)
	s.route("POST /webhooks/deliveries/{id}/redeliver", s.redeliver)
}

// showSettings is what a visitor can choose, and what is in force.
func (s *Server) showSettings(w http.ResponseWriter, r *http.Request) error {
	webhook := s.webhookView()
	switch r.URL.Query().Get("saved") {
	case "webhook":
		webhook.Done = "Saved."
	case "test":
		webhook.Done = "A test is under way; below is what becomes of it."
	}
	return s.renderSettings(w, r, http.StatusOK, webhook)
}

func (s *Server) renderSettings(w http.ResponseWriter, r *http.Request, status int, webhook views.Webhook) error {
	recent, err := s.studio.Deliveries(r.Context(), studio.DeliveryFilter{Limit: recentDeliveries})
	if err != nil {
		return err
	}
	page := s.page(r, "settings", "Settings")
	page.Live = s.paths.Settings()
	return render(w, r, status, views.SettingsPage(page, views.SettingsView{
		InForce: s.pages.inForce,
		Saved:   r.URL.Query().Get("saved") == "1",
		Done:    views.Done{Sound: chose(r, soundCookie), Notice: chose(r, noticeCookie), Push: chose(r, pushCookie)},
		Webhook: webhook, Deliveries: deliveryViews(recent.Deliveries),
	}))
}

// chose reports whether a visitor has switched something on.
func chose(r *http.Request, cookie string) bool {
	c, err := r.Cookie(cookie)
	return err == nil && c.Value == "1"
}

// recentDeliveries is how many the page of settings shows; its stream shows as many.
const recentDeliveries = 20

// webhookView is the form as it is set.
func (s *Server) webhookView() views.Webhook {
	set := s.studio.Settings()
	return views.Webhook{
		Address: views.Field{Name: "webhook", Value: set.Webhook}, Locked: set.WebhookFixed, Now: set.Webhook,
	}
}

// streamSettings keeps header, webhook and deliveries up to date.
func (s *Server) streamSettings(w http.ResponseWriter, r *http.Request) error {
	deliveries, err := s.studio.WatchDeliveries(r.Context())
	if err != nil {
		return err
	}
	defer deliveries.Close()
	overview := s.studio.WatchOverview()
	defer overview.Close()
	st, err := s.openStream(w, r)
	if err != nil {
		return err
	}
	return s.follow(st, overview.Changed(), deliveries.Changed(), func(sent) []part {
		return append(s.statusParts(overview.Latest()),
			part{target: "webhook-now", events: s.shared(views.WebhookNow(s.webhookView()))},
			part{target: "deliveries", events: s.shared(views.RecentDeliveries(s.pages.site, deliveryViews(deliveries.Latest())))})
	})
}

// setWebhook sets the default webhook. What cannot be one comes back in the form.
func (s *Server) setWebhook(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	values, err := readForm(r)
	if err != nil {
		return err
	}
	address := typedForm(values)["webhook"]
	err = s.studio.SetWebhook(r.Context(), address)
	if err == nil {
		return s.answerWebhook(w, r, "webhook", "Saved.")
	}
	refused := userError(err)
	if refused == nil || len(refused.Fields) == 0 {
		return err
	}
	view := s.webhookView()
	for _, f := range refused.Fields {
		view.Address.Error = strings.TrimSpace(view.Address.Error + " " + f.Message)
	}
	if !view.Locked {
		view.Address.Value = address
	}
	if isDatastar(r) {
		return s.patchWebhook(w, view)
	}
	return s.renderSettings(w, r, refused.Status, view)
}

// testWebhook posts a test to the default webhook; the list of deliveries shows what becomes of it.
func (s *Server) testWebhook(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	if _, err := s.studio.TestWebhook(r.Context()); err != nil {
		return err
	}
	return s.answerWebhook(w, r, "test", "A test is under way; below is what becomes of it.")
}

// showSecret answers with the secret that signs. It stands in no page that is merely looked at.
func (s *Server) showSecret(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	view := s.webhookView()
	view.Secret = s.pages.secret
	if isDatastar(r) {
		return s.patchWebhook(w, view)
	}
	return s.renderSettings(w, r, http.StatusOK, view)
}

// answerWebhook ends an action: saved is the word that the page is led to, done what it then says.
func (s *Server) answerWebhook(w http.ResponseWriter, r *http.Request, saved, done string) error {
	if !isDatastar(r) {
		http.Redirect(w, r, s.paths.Settings()+"?saved="+saved, http.StatusSeeOther)
		return nil
	}
	view := s.webhookView()
	view.Done = done
	return s.patchWebhook(w, view)
}

func (s *Server) patchWebhook(w http.ResponseWriter, view views.Webhook) error {
	events, err := patch(views.WebhookSettings(s.pages.site, view))
	if err != nil {
		return err
	}
	clear, err := patch(views.NoNotice())
	if err != nil {
		return err
	}
	return answerPatches(w, append(events, clear...))
}

// redeliver has a delivery made again, and goes back to where that was asked for.
func (s *Server) redeliver(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Datastar-Request")
	id, ok := canonicalID(r.PathValue("id"))
	if !ok {
		return studio.ErrNoDelivery
	}
	values, err := readForm(r)
	if err != nil {
		return err
	}
	if _, err := s.studio.Redeliver(r.Context(), id); err != nil {
		return err
	}
	if !isDatastar(r) {
		http.Redirect(w, r, localPath(values.Get("back"), s.paths), http.StatusSeeOther)
		return nil
	}
	clear, err := patch(views.NoNotice()) // the page's stream shows it
	if err != nil {
		return err
	}
	return answerPatches(w, clear)
}

// deliveryEvents are the events in words.
var deliveryEvents = map[string]string{
	"generation.complete": "generation complete", "generation.failed": "generation failed",
	"generation.cancelled": "generation cancelled", "ping": "test",
}

func deliveryViews(list []studio.Delivery) []views.Delivery {
	shown := make([]views.Delivery, len(list))
	for i, d := range list {
		view := views.Delivery{ID: d.ID.String(), Event: deliveryEvents[d.Event], URL: d.URL, State: string(d.State)}
		if d.Generation != uuid.Nil {
			view.Generation = d.Generation.String()
		}
		if d.NextTryAt != nil {
			view.Next = *d.NextTryAt
		}
		for _, try := range d.Tries {
			said := try.Error
			if said == "" {
				said = "It answered " + strconv.Itoa(try.Status) + "."
			}
			view.Tries = append(view.Tries, views.DeliveryTry{
				Number: try.Number, At: try.BeganAt, Took: try.Took, Said: said, Response: try.Response,
			})
		}
		shown[i] = view
	}
	return shown
}
