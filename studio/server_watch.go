package studio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
)

// onMessage takes what the socket brings. It is called by the socket's reader and must not wait:
// while it runs, no client of that ComfyUI gets its events.
func (h *hold) onMessage(m comfy.Message) {
	now := time.Now()
	h.answered(now)
	if h.pulse.hear(m, now) {
		h.logger.Info("events arrive again")
		ring(h.examine) // to be shown at once
	}
	if m.Type == comfy.TypeStatus {
		h.studio.hub.setServer(h.server.ID, func(s *Server) { s.Queue = max(m.QueueRemaining, 0) })
		ring(h.tell)
		return
	}
	promptID, changed := h.tracker.Apply(m, now)
	if changed {
		h.studio.hub.progressed(promptID)
	}
	if promptID == "" {
		return
	}
	switch {
	case m.EndsPrompt():
		if f := h.follower(promptID); f != nil {
			f.look.Store(true) // its word is no proof: history is
			ring(f.wake)
		}
	case m.Type == comfy.TypeExecutionStart:
		if f := h.follower(promptID); f != nil {
			ring(f.wake)
		}
	case changed && m.Type == comfy.TypeProgress:
		if f := h.follower(promptID); f != nil && f.sampled.Load() == 0 {
			if s, ok := h.tracker.Snapshot(promptID); ok && s.Phase == comfy.PhaseInference {
				f.sampled.Store(now.UnixNano())
			}
		}
	}
}

// onState takes what becomes of the socket; it must not wait either.
func (h *hold) onState(s comfy.SocketState) {
	h.pulse.connect(s.Connected, time.Now())
	if s.Counts.Unanswered > h.unanswered {
		h.unanswered = s.Counts.Unanswered
		h.pulse.unanswered(time.Now())
	}
	if s.Connected {
		if h.connected {
			h.studio.counters.WSReconnects.Add(1)
			h.anew.Store(true)
		}
		h.connected = true
		h.client.Reconnected() // it may be another version now
		h.looked.Store(false)
	} else {
		h.showState(serverStateOf(s.Err), sentence(s.Err))
	}
	ring(h.examine)
	ring(h.late)
	// What happened while nobody listened has to be looked up; and without a socket, often.
	h.wakeFollowers(func(f *follower) bool {
		f.missed.Store(true)
		return true
	})
}

// watchPulse gives up connections that bring no events.
func (h *hold) watchPulse(ctx context.Context) error {
	every := min(h.studio.timing.StatusWithin, h.studio.timing.FastPoll) / 2
	for sleep(ctx, every) {
		if h.pulse.check(time.Now(), h.running() != "") {
			h.logger.Warn("events do not arrive, connecting again", "stalled", h.pulse.stalled())
			h.socket.Redial()
			ring(h.examine)
		}
	}
	return nil
}

// tellEvery is how often the length of a server's queue is stored at most.
const tellEvery = time.Second

// watchServer looks at the server itself: after each change of the connection, and now and then.
func (h *hold) watchServer(ctx context.Context) error {
	timer := time.NewTimer(jitter(h.studio.timing.Health))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.tell: // for the other instances, which do not hear the socket
			h.store(ctx)
			if !sleep(ctx, tellEvery) {
				return nil
			}
			continue
		case <-h.examine:
		case <-timer.C:
		}
		h.look(ctx)
		timer.Reset(jitter(h.studio.timing.Health))
	}
}

// maxDevices is how many devices of a server are kept.
const maxDevices = 16

// look asks the server how it is, and after a connect what it knows.
func (h *hold) look(ctx context.Context) {
	connected := h.pulse.isConnected()
	stats, err := h.client.SystemStats(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		h.showState(serverStateOf(err), sentence(err))
		h.store(ctx)
		return
	}
	h.answered(time.Now())
	// A model that was put into its folder shows only in a new reading.
	if connected && (!h.looked.Load() || time.Since(h.learned) >= h.studio.timing.Learn) {
		h.learn(ctx)
		h.learned = time.Now()
		h.looked.Store(true)
		ring(h.supervisor.wake)
	}
	now := time.Now()
	h.studio.hub.setServer(h.server.ID, func(s *Server) {
		s.Version, s.LastSeen = label(stats.System.ComfyUIVersion), now
		s.Devices = make([]Device, 0, len(stats.Devices))
		for _, d := range stats.Devices[:min(len(stats.Devices), maxDevices)] {
			s.Devices = append(s.Devices, Device{
				Name: label(d.Name), Type: label(d.Type), VRAMTotal: max(d.VRAMTotal, 0), VRAMFree: max(d.VRAMFree, 0),
			})
		}
		s.showDevice()
	})
	switch {
	case h.pulse.stalled():
		h.showState(ServerStalled, "Its events do not arrive; Easel asks instead. Restarting ComfyUI cures it.")
	case connected:
		h.showState(ServerUp, "")
	default:
		h.showState(ServerDown, "Its socket cannot be reached.")
	}
	h.store(ctx)
}

// learn reads the node classes of the server, for forms and graphs. A server that does not give
// them is used with what was last known.
func (h *hold) learn(ctx context.Context) {
	raw, err := h.client.ObjectInfo(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.logger.Warn("could not read object_info", "err", err)
		}
		return
	}
	info, err := workflow.ParseObjectInfo(raw)
	if err != nil {
		h.logger.Warn("object_info cannot be read", "err", err)
		return
	}
	h.info.Store(info)
	h.studio.forms.learn(h.server.ID, info)
	h.studio.hub.reorder() // what nobody could run, somebody may be able to now
	if err := h.studio.queries.ServerLearned(ctx, db.ServerLearnedParams{
		ObjectInfo: raw, InfoSum: infoSum(raw), ID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence,
	}); err != nil && ctx.Err() == nil {
		h.logger.Warn("could not store object_info", "err", err)
	}
}

// showState tells everybody how the server is.
func (h *hold) showState(state ServerState, why string) {
	h.studio.hub.setServer(h.server.ID, func(s *Server) { s.State, s.LastError = state, why })
}

// store keeps how the server is, if that is another than it was.
func (h *hold) store(ctx context.Context) {
	shown, ok := h.studio.hub.server(h.server.ID)
	if !ok || shown.looksLike(h.stored) && slices.Equal(shown.Devices, h.stored.Devices) {
		return
	}
	devices, err := json.Marshal(shown.Devices)
	if err != nil || shown.Devices == nil {
		devices = []byte("[]")
	}
	err = h.studio.queries.ServerObserve(ctx, db.ServerObserveParams{
		State: string(shown.State), Version: shown.Version, Devices: devices, Queue: int32(min(shown.Queue, math.MaxInt32)), //nolint:gosec // bounded
		Device: shown.Device, VRAMTotal: shown.VRAMTotal, VRAMFree: shown.VRAMFree,
		LastError: shown.LastError, LastSeen: givenTime(shown.LastSeen),
		ID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence,
	})
	switch {
	case err == nil:
		before := h.stored
		h.stored = shown
		if shown.State != before.State || shown.Version != before.Version || shown.Device != before.Device ||
			shown.LastError != before.LastError { // what the table takes for news
			h.studio.announce(bellServer, h.server.ID, 0)
		}
	case ctx.Err() == nil:
		h.logger.Warn("could not store how the server is", "err", err)
	}
}

// infoSum tells one object_info from another.
func infoSum(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

func serverStateOf(err error) ServerState {
	if errors.Is(err, comfy.ErrNotComfyUI) {
		return ServerNotComfyUI
	}
	return ServerDown
}
