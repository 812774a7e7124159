package studio

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"easel/comfy/workflow"
	"easel/db"
)

// How a server chooses among what runs next. A model takes seconds to load, so an image whose model is loaded may
// go before an older one of the same user and priority: out of lookAhead, and no image is overtaken oftener than
// maxOvertaken times.
const (
	lookAhead    = 16
	maxOvertaken = 4
)

// preferred is the candidate that a server takes whose loaded models are these. list is in the order of the queue
// and not empty.
func preferred(list []db.ImageCandidatesRow, loaded []string) int {
	head := list[0]
	if head.Overtaken >= maxOvertaken {
		return 0
	}
	for i, c := range list {
		if c.UserID != head.UserID || c.Priority != head.Priority {
			continue
		}
		models := modelsOf(c.Needs)
		if len(models) > 0 && subset(models, loaded) {
			return i
		}
	}
	return 0
}

// lackError is an image that this server cannot run.
type lackError struct {
	generation uuid.UUID
	needs      []string // of its graph
	lacks      []string // those that the server does not have
}

func (e *lackError) Error() string { return fmt.Sprintf("the server lacks %v", e.lacks) }

// maxLacks bounds what is remembered of what a server does not have.
const maxLacks = 1000

// candidates reads what the server could run next.
func (h *hold) candidates(ctx context.Context, q *db.Queries) ([]db.ImageCandidatesRow, error) {
	if info := h.objectInfo(); h.lacksOf != info || len(h.lacks) > maxLacks {
		h.lacksOf, h.lacks = info, []string{}
	}
	for {
		list, err := q.ImageCandidates(ctx, db.ImageCandidatesParams{
			Lacks: h.lacks, Most: lookAhead, MostRunning: int32(h.studio.config.MaxRunning), //nolint:gosec // a small setting
		})
		if err != nil {
			return nil, err
		}
		fit := list[:0]
		for _, c := range list {
			if lacks := lacking(c.Needs, h.lacksOf); len(lacks) > 0 {
				h.lacks = append(h.lacks, lacks...)
				continue
			}
			fit = append(fit, c)
		}
		if len(fit) > 0 || len(list) == 0 || len(h.lacks) > maxLacks {
			return fit, nil
		}
	}
}

// yields reports whether the image should be left to another server for a moment: to one that has nothing to do
// while we have, or has the models loaded that we have not. If nobody has taken it by then, we do.
func (h *hold) yields(ctx context.Context, q *db.Queries, c db.ImageCandidatesRow) (bool, error) {
	key := imageKey{c.GenerationID, c.Index}
	now := time.Now()
	if h.yielded == key && now.After(h.yieldedUntil) {
		return false, nil
	}
	models := modelsOf(c.Needs)
	inside := h.inside()
	if inside == 0 && subset(models, h.loaded) {
		return false, nil
	}
	if inside > 0 {
		models = []string{} // better to load a model there than to wait here
	}
	others := h.studio.forms.able(c.Needs, h.server.ID)
	if len(others) == 0 {
		return false, nil
	}
	idle, err := q.ServerIdle(ctx, db.ServerIdleParams{Ids: others, Models: models})
	if err != nil || !idle {
		return false, err
	}
	if h.yielded != key {
		h.yielded, h.yieldedUntil = key, now.Add(h.studio.timing.Yield)
		h.studio.wakeSupervisors() // the other may not know of it
	}
	return true, nil
}

// runsElsewhere reports whether another server answers, takes work, and can run a generation.
func (h *hold) runsElsewhere(ctx context.Context, generation uuid.UUID) (bool, error) {
	g, ok := h.studio.hub.generation(generation)
	if !ok {
		return false, nil
	}
	others := h.studio.forms.able(g.needs, h.server.ID)
	if len(others) == 0 {
		return false, nil
	}
	return db.One(h.studio.queries.ServersAnswer(ctx, others))
}

// imageKey names an image.
type imageKey struct {
	generation uuid.UUID
	index      int32
}

// subset reports whether all of the words are among the others.
func subset(words, others []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(others, w) })
}

// inside is how many prompts of ours are in the server.
func (h *hold) inside() int {
	h.supervisor.mu.Lock()
	defer h.supervisor.mu.Unlock()
	return len(h.followers)
}

// load notes which models the server has: those of what it was sent last, none after it was away, for it may have
// started anew.
func (h *hold) load(ctx context.Context, models []string) {
	if slices.Equal(models, h.loaded) {
		return
	}
	h.loaded = models
	h.studio.hub.setLoaded(h.server.ID, models)
	err := h.studio.queries.ServerLoaded(ctx, db.ServerLoadedParams{
		Loaded: models, ID: h.server.ID, Owner: h.lease.owner, Fence: h.lease.fence,
	})
	if err != nil && ctx.Err() == nil {
		h.logger.Warn("could not store which models are loaded", "err", err)
	}
}

// remember notes what an image needs that the server does not have, also where that was not known when it was
// accepted: then the queue knows it from here on.
func (h *hold) remember(ctx context.Context, e *lackError) error {
	h.lacks = append(h.lacks, e.lacks...)
	err := h.studio.queries.GenerationNeeds(ctx, db.GenerationNeedsParams{
		Needs: e.needs, Origin: h.studio.config.Instance, ID: e.generation,
	})
	if err == nil {
		h.studio.tellUnread(e.generation)
	}
	return err
}

// able are the servers, other than one, that have what is needed, as far as is known.
func (f *forms) able(needs []string, other uuid.UUID) (ids []uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, info := range f.infos {
		if id != other && len(lacking(needs, info)) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// needsOfRequest are the needs of a generation that is being accepted; none when its graph cannot be made.
func needsOfRequest(w *workflow.Workflow, g *Generation) []string {
	graph, err := w.Apply(g.Settings)
	if err != nil {
		return []string{}
	}
	return needsOf(graph)
}
