package trouble

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"easel/test/harness"
)

// serverStates are the states of all servers by name, as /api/servers tells them.
func serverStates(t *testing.T, e *harness.Easel) map[string]server {
	t.Helper()
	status, body := e.Get("/api/servers")
	if status != http.StatusOK {
		return nil
	}
	var answer struct {
		Servers []server
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	byName := make(map[string]server, len(answer.Servers))
	for _, s := range answer.Servers {
		byName[s.Name] = s
	}
	return byName
}

type server struct {
	Name      string
	State     string
	LastError string
	Error     string
}

// awaitServer waits until the only server is in that state.
func (r *rig) awaitServer(state string) {
	r.t.Helper()
	awaitServer(r.t, r.Easel, state)
}

func awaitServer(t *testing.T, e *harness.Easel, state string) {
	t.Helper()
	harness.Eventually(t, "is the server "+state, func() bool {
		for _, s := range serverStates(t, e) {
			return s.State == state
		}
		return false
	}, func() string { return fmt.Sprintf("%+v", serverStates(t, e)) })
}
