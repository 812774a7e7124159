package handlers

import (
	"net/http"

	"easel/views"
)

// showSettings is what a visitor can choose, and what is in force.
func (s *Server) showSettings(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "settings", "Settings")
	page.Live = s.paths.Settings()
	return render(w, r, http.StatusOK, views.SettingsPage(page, views.SettingsView{
		InForce: s.pages.inForce,
		Saved:   r.URL.Query().Get("saved") == "1",
	}))
}
