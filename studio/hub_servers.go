package studio

import (
	"reflect"

	"github.com/google/uuid"
)

// setServers takes in the list of servers, in the order in which they are shown.
func (h *hub) setServers(servers []Server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = servers
	h.moved = true
	ring(h.wake)
}

// setServer takes in how one server is.
func (h *hub) setServer(id uuid.UUID, mutate func(*Server)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.servers {
		if h.servers[i].ID == id {
			list := append([]Server{}, h.servers...)
			mutate(&list[i])
			before := h.servers[i]
			h.servers = list
			// Seen again with a little more or less memory free is no news worth a page; the next
			// overview shows it.
			before.LastSeen, before.VRAMFree, before.Devices = list[i].LastSeen, list[i].VRAMFree, list[i].Devices
			if !reflect.DeepEqual(list[i], before) {
				h.moved = true
				ring(h.wake)
			}
			return
		}
	}
}

// server is how one server is.
func (h *hub) server(id uuid.UUID) (Server, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		if s.ID == id {
			return s, true
		}
	}
	return Server{}, false
}
