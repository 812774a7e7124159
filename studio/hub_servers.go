package studio

import (
	"maps"
	"slices"

	"github.com/google/uuid"
)

// setServers takes in the list of servers as the database has it, in the order in which they are shown. Of those
// that this instance supervises, it knows better how they are, and which models they have loaded, than what it has stored.
func (h *hub) setServers(servers []Server, loaded map[uuid.UUID][]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range servers {
		now := &servers[i]
		for _, before := range h.servers {
			if before.ID == now.ID && before.Mine {
				now.State, now.Version, now.Devices, now.Queue = before.State, before.Version, before.Devices, before.Queue
				now.LastError, now.LastSeen, now.Held, now.Mine = before.LastError, before.LastSeen, true, true
				now.Running = before.Running
				now.showDevice()
			}
		}
		if models, told := loaded[now.ID]; told && !now.Mine {
			h.loaded[now.ID] = loadedModels{models, h.loaded[now.ID].at}
		}
	}
	if loaded != nil {
		maps.DeleteFunc(h.loaded, func(id uuid.UUID, _ loadedModels) bool { _, on := loaded[id]; return !on })
	}
	changed := !slices.EqualFunc(h.servers, servers, Server.looksLike)
	h.servers = servers
	if changed {
		h.moved = true
		ring(h.wake)
	}
}

// setServer takes in how one server is.
func (h *hub) setServer(id uuid.UUID, mutate func(*Server)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.servers {
		if h.servers[i].ID == id {
			list := slices.Clone(h.servers)
			mutate(&list[i])
			changed := !list[i].looksLike(h.servers[i])
			h.servers = list
			if changed {
				h.moved = true
				ring(h.wake)
			}
			return
		}
	}
}

// looksLike: between the two there is no news worth a page. Seen again with a little more or less memory free is
// none; the next overview shows it.
func (s Server) looksLike(other Server) bool {
	return s.ID == other.ID && s.Name == other.Name && s.URL == other.URL && s.Demo == other.Demo &&
		s.Source == other.Source && s.Mode == other.Mode && s.State == other.State && s.Version == other.Version &&
		s.Queue == other.Queue && s.LastError == other.LastError && s.Running == other.Running && s.Held == other.Held && s.Mine == other.Mine &&
		slices.EqualFunc(s.Devices, other.Devices, func(a, b Device) bool {
			return a.Name == b.Name && a.Type == b.Type && a.VRAMTotal == b.VRAMTotal
		})
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

// showDevice keeps what is said of the first device with the list of all.
func (s *Server) showDevice() {
	if len(s.Devices) > 0 {
		s.Device, s.VRAMTotal, s.VRAMFree = s.Devices[0].Name, s.Devices[0].VRAMTotal, s.Devices[0].VRAMFree
	}
}

// reorder has the order made anew, and what is said of each that waits.
func (h *hub) reorder() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moved = true
	ring(h.wake)
}
