package studio

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// demand is what images need of a server. Generations that need the same share one, so that the forecast asks for
// each but once.
type demand struct {
	key    string // the needs, in one word
	needs  []string
	models []string // those of them that are read from disk
}

// maxDemands bounds how many are shared. Beyond it some are made twice, which costs time only.
const maxDemands = 1000

// demandOf is that of these needs; mu is held.
func (h *hub) demandOf(needs []string) *demand {
	key := strings.Join(needs, "\n")
	if d, ok := h.demands[key]; ok {
		return d
	}
	if len(h.demands) >= maxDemands {
		clear(h.demands)
	}
	d := &demand{key: key, needs: needs, models: modelsOf(needs)}
	h.demands[key] = d
	return d
}

// begunWith notes which models a server has, by what it was sent last; mu is held. What the list of servers says of it
// is right as well, but seconds old.
func (h *hub) begunWith(r *record) {
	g := &r.generation
	if len(r.demand.models) == 0 {
		return
	}
	for i := range g.Images {
		image := &g.Images[i]
		if image.Status != Generating {
			continue
		}
		if last := h.loaded[image.ServerID]; g.served.After(last.at) {
			h.loaded[image.ServerID] = loadedModels{r.demand.models, g.served}
		}
	}
}

// loadedModels are those that a server was sent last, and when.
type loadedModels struct {
	models []string
	at     time.Time
}

// setLoaded takes in which models a server is known to have; none, for one that was away.
func (h *hub) setLoaded(server uuid.UUID, models []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loaded[server] = loadedModels{models, h.loaded[server].at}
	h.moved = true
	ring(h.wake)
}
