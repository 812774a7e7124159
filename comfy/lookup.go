package comfy

import "context"

// State is where a prompt stands on a server.
type State int

// The states of a prompt. Succeeded, Failed and Interrupted are ends and do not change.
const (
	Absent      State = iota // neither in the queue nor in history: never came, deleted, or lost with a restart
	Waiting                  // in the queue
	Running                  // a worker has it
	Succeeded                // history has it with status success
	Failed                   // history has it with an error
	Interrupted              // history has it, stopped on request
)

var stateNames = [...]string{"absent", "waiting", "running", "succeeded", "failed", "interrupted"}

func (s State) String() string { return stateNames[s] }

// Ended reports whether the prompt is over.
func (s State) Ended() bool { return s >= Succeeded }

// Lookup is what a server says about one prompt.
type Lookup struct {
	State   State
	Ahead   int             // Waiting: prompts that end before this one may begin
	Outputs []OutputFile    // after an end: every file announced, those of a failed prompt too
	Error   *ExecutionError // Failed: why
}

// Lookup asks where a prompt stands: the jobs API where it is offered, else /queue and then /history/{id}.
//
// The order matters. A prompt moves from the queue to history in one step, so with the queue read first it is in
// at least one of them; the other way round it can be in neither. Absent is said only when both reads answered;
// a read that failed is an error. A prompt whose POST is still under way is absent as well, and so is one that a
// server has accepted but not yet validated: ask again before giving it up.
func (c *Client) Lookup(ctx context.Context, promptID string) (Lookup, error) {
	if l, ok, err := c.lookupJob(ctx, promptID); ok || err != nil {
		return l, err
	}
	q, err := c.Queue(ctx)
	if err != nil {
		return Lookup{}, err
	}
	if state, ahead := q.Find(promptID); state != Absent {
		return Lookup{State: state, Ahead: ahead}, nil
	}
	return c.lookupEnded(ctx, promptID)
}

// lookupEnded asks history for a prompt that a reading of the queue did not show.
func (c *Client) lookupEnded(ctx context.Context, promptID string) (Lookup, error) {
	e, err := c.history(ctx, promptID)
	if err != nil || e == nil {
		return Lookup{}, err
	}
	return e.verdict(), nil
}

// LookupAll is Lookup for prompts that are not expected to be there: one reading of the queue for all, and one of
// history for each that is not in it.
func (c *Client) LookupAll(ctx context.Context, promptIDs []string) (map[string]Lookup, error) {
	q, err := c.Queue(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]Lookup, len(promptIDs))
	for _, id := range promptIDs {
		l := Lookup{}
		if l.State, l.Ahead = q.Find(id); l.State == Absent {
			if l, err = c.lookupEnded(ctx, id); err != nil {
				return nil, err
			}
		}
		found[id] = l
	}
	return found, nil
}
