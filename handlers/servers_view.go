package handlers

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"easel/studio"
	"easel/views"
)

// serversView is every server with its state and what it makes.
func (s *Server) serversView(o *studio.Overview) views.ServersView {
	view := views.ServersView{Now: o.At}
	inside := insideServers(o)
	real := 0
	for _, server := range o.Servers {
		if !server.Demo {
			real++
		}
	}
	for i := range o.Servers {
		server := &o.Servers[i]
		shown := views.Server{
			ID: server.ID.String(), Name: server.Name, URL: server.URL, State: string(server.State), Mode: string(server.Mode),
			Demo: server.Demo, Origin: s.originOf(server), Elsewhere: server.Held && !server.Mine,
			Last:    !server.Demo && real == 1,
			Version: server.Version, Queue: server.Queue, Ours: inside[server.ID].count,
			Error: server.LastError, LastSeen: server.LastSeen,
		}
		for _, device := range server.Devices {
			shown.Devices = append(shown.Devices, views.Device{
				Name: cmp.Or(device.Name, device.Type), VRAMTotal: device.VRAMTotal,
				VRAMUsed: min(max(device.VRAMTotal-device.VRAMFree, 0), device.VRAMTotal),
			})
		}
		if len(server.Devices) == 0 && server.Device != "" {
			shown.Devices = []views.Device{{Name: server.Device, VRAMTotal: server.VRAMTotal, VRAMUsed: max(server.VRAMTotal-server.VRAMFree, 0)}}
		}
		if run, ok := runningOn(o, server, inside); ok {
			g := s.stateView(run.state)
			if run.image < len(g.Images) {
				shown.Run = &views.Run{Generation: g, Image: g.Images[run.image]}
			}
		}
		view.Servers = append(view.Servers, shown)
	}
	return view
}

// originOf says why a server cannot be renamed and removed here; empty: it can.
func (s *Server) originOf(server *studio.Server) string {
	named := slices.ContainsFunc(s.pages.inForce, func(v views.InForce) bool { return v.Name == "COMFYUI_URL" && v.Value != "" })
	switch {
	case server.Source == studio.SourceAdded:
		return ""
	case server.Demo:
		return "Easel's built-in stand-in"
	case named:
		return "Named by COMFYUI_URL"
	}
	return "Found on this machine when Easel started"
}

// inside is what of ours is in one server.
type inside struct {
	count   int     // images sent there that have not ended
	running *onWork // the first of them that ComfyUI says runs; nil: none
}

// onWork is one image of a live generation.
type onWork struct {
	state *studio.State
	image int // place in State.Images
}

// insideServers finds what of ours is in each server, by its id: its name may have changed since.
func insideServers(o *studio.Overview) map[uuid.UUID]inside {
	found := map[uuid.UUID]inside{}
	for _, state := range o.Live {
		for i := range state.Generation.Images {
			image := &state.Generation.Images[i]
			if image.Status != studio.Generating || image.ServerID == uuid.Nil {
				continue
			}
			here := found[image.ServerID]
			here.count++
			if here.running == nil && image.AttemptState == "running" {
				here.running = &onWork{state, i}
			}
			found[image.ServerID] = here
		}
	}
	return found
}

// runningOn is the image that a server makes now: by the prompt that its supervisor names, which
// only the instance that cares for it knows, else by what is stored.
func runningOn(o *studio.Overview, server *studio.Server, all map[uuid.UUID]inside) (onWork, bool) {
	if server.Running != "" {
		for _, state := range o.Live {
			for i := range state.Generation.Images {
				if state.Generation.Images[i].PromptID == server.Running {
					return onWork{state, i}, true
				}
			}
		}
	}
	if run := all[server.ID].running; run != nil {
		return *run, true
	}
	return onWork{}, false
}

// reportView is the report of a test as the page shows it.
func reportView(r *studio.ServerReport) *views.ServerReport {
	shown := &views.ServerReport{Address: r.URL, Usable: r.Usable}
	for _, check := range r.Checks {
		shown.Checks = append(shown.Checks, views.ServerCheck{Name: check.Name, Verdict: string(check.Verdict), Words: check.Words})
	}
	return shown
}

// findServer is a server of the overview by its id.
func findServer(o *studio.Overview, id string) (studio.Server, bool) {
	for _, server := range o.Servers {
		if server.ID.String() == id {
			return server, true
		}
	}
	return studio.Server{}, false
}
