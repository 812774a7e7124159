package studio

import (
	"time"

	"github.com/google/uuid"

	"easel/comfy/workflow"
)

// LocalUser owns everything until there are accounts; the first migration inserts it.
var LocalUser = uuid.MustParse("00000000-0000-7000-8000-000000000001")

// Status is the state of a generation, and of each of its images.
type Status string

// The states; the last three are ends and never change.
const (
	Pending    Status = "pending"
	Generating Status = "generating"
	Complete   Status = "complete"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
)

// Priority says what goes first, whatever the order otherwise.
type Priority int

// The priorities.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 0
	PriorityHigh   Priority = 1
)

// String is the word for p.
func (p Priority) String() string {
	switch {
	case p < PriorityNormal:
		return "low"
	case p > PriorityNormal:
		return "high"
	}
	return "normal"
}

// ParsePriority reads the word for a priority.
func ParsePriority(word string) (p Priority, ok bool) {
	for _, p := range []Priority{PriorityLow, PriorityNormal, PriorityHigh} {
		if word == p.String() {
			return p, true
		}
	}
	return PriorityNormal, false
}

// Ended reports whether s is final.
func (s Status) Ended() bool { return s == Complete || s == Failed || s == Cancelled }

// Generation is the stored record of what a person asked for.
type Generation struct {
	ID                uuid.UUID // UUIDv7: ids sort by age
	UserID            uuid.UUID
	Prompt            string
	NegativePrompt    string
	Workflow          string          // id of the workflow, such as workflow.TextToImage
	WorkflowVersion   int             // that it was asked for with; 0: the workflow comes with Easel
	Settings          workflow.Values // by field name, without prompt and negativePrompt; the seed is resolved
	Status            Status
	ErrorCode         string   // machine word, such as "rejected"; empty unless failed
	ErrorMessage      string   // a sentence for visitors; empty unless failed
	Warnings          []string // sentences, such as outputs that ComfyUI refused
	Images            []Image  // one for each picture asked for, by Index
	RetryOf           *uuid.UUID
	Webhook           string // where its end is posted; empty: nowhere
	CancelRequestedAt *time.Time
	CreatedAt         time.Time
	UpdatedAt         time.Time
	FinishedAt        *time.Time
	Priority          Priority
	HeldAt            *time.Time // held back since then: nothing of it is sent to a server; nil: it may run
	Rev               int64      // grows with every stored change

	needs          []string  // of a server: see needsOf
	inputs         []string  // the uploads that it begins with; only until it is stored
	rank           float64   // places it among its user's of the same priority, least first
	served         time.Time // when a server last took an image of its user's, as far as this record knows
	failureCode    string    // of the first image that failed, whatever became of the others
	failureMessage string
}

// Image is one picture of a generation: one seed, one live attempt at most.
type Image struct {
	Index         int // counts from 1
	Status        Status
	Seed          uint64
	Width, Height int    // as asked for; outputs carry their own
	PromptID      string // of the latest attempt; empty before the first
	Server        string // name of the server of the latest attempt
	ServerID      uuid.UUID
	AttemptState  string // finer state of the latest attempt: submitting, submitted, running, finalizing, ...
	Attempts      int    // how many there were
	RetryReason   string // in words, why there was more than one, or will be; empty: there was not
	ErrorMessage  string
	StepsDone     int // sampler steps of the latest attempt, as they were when it ended; 0 before
	StepsPlanned  int
	Overall       int  // of the latest attempt, as it was kept while it ran; 0 before
	Reused        bool // the latest attempt took an earlier result of all its samplers
	Outputs       []Output
	StartedAt     *time.Time // ComfyUI began the latest attempt
	FinishedAt    *time.Time
}

// Output is one stored file that an image's graph gave.
type Output struct {
	Index         int    // place within the image, from 0
	Node          string // id of the node that gave it
	Kind          string // "image"; later also video, audio, text
	SHA256        string // hex, of the stored bytes: the blob's key
	Thumbnail     string // hex, blob key of the thumbnail; empty when there is none
	MIME          string // by our own look at the bytes
	Size          int64
	Width, Height int
	Color         string // average colour as #rrggbb, the ground while a thumbnail loads
}

// Attempt is one graph sent to one server under one prompt_id, with what came of it.
type Attempt struct {
	PromptID     string
	ImageIndex   int
	Number       int // 1 for the first attempt of the image
	Server       string
	State        string
	LossReason   string
	RetryReason  string // why the image was put back into the queue although this was not lost
	ErrorMessage string
	ErrorDetail  string // node and exception as ComfyUI told; may hold paths of the server
	Graph        []byte // the exact graph sent, API format
	CreatedAt    time.Time
	SubmittedAt  *time.Time // ComfyUI accepted it
	RunningAt    *time.Time // execution began
	SamplingAt   *time.Time // first sampler step
	FinalizingAt *time.Time // ComfyUI was done
	AdoptedAt    *time.Time // it had been taken for lost until then
	FinishedAt   *time.Time // files stored, or the end of another kind
}

// putBack takes in that the image is in the queue again. reason is that of its last attempt.
func (i *Image) putBack(reason string) {
	i.StartedAt, i.ErrorMessage, i.RetryReason = nil, "", retryWords(reason)
}

// endWith takes in what the end of an image made of its generation. code and message are those of
// the image's failure; empty: it did not fail.
func (g *Generation) endWith(status Status, at time.Time, code, message string) {
	g.Status, g.UpdatedAt = status, at
	if status.Ended() {
		g.FinishedAt = &at
	}
	if code != "" && g.failureCode == "" {
		g.failureCode, g.failureMessage = code, message
	}
}
