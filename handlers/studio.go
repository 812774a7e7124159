package handlers

import (
	"context"
	"io"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/studio"
)

// Studio is what the pages, streams and the JSON API need of *studio.Studio.
type Studio interface {
	// Workflows lists what can be asked for: first what comes with Easel, then what people brought.
	Workflows() []studio.WorkflowHead
	// Forms are their forms, as the present servers allow.
	Forms(ctx context.Context) ([]workflow.Form, error)
	// Form is that of one workflow, FormOf that with which a generation was asked for. studio.ErrNoWorkflow.
	Form(ctx context.Context, id string) (workflow.Form, error)
	FormOf(ctx context.Context, g *studio.Generation) (workflow.Form, error)
	// Away lists, by field of a workflow, the models to choose from that no server which takes work has now.
	Away(ctx context.Context, id string) map[string]map[string]bool

	// WorkflowsMissing says in words, by id, what keeps every server from running a workflow.
	WorkflowsMissing(ctx context.Context) (map[string]string, error)
	// Workflow is one with all that its owner sees, PreviewWorkflow as an edit would leave it; ImportWorkflow keeps a file
	// as another, EditWorkflow, RereadWorkflow and DeleteWorkflow change or remove what was brought, ExportWorkflow gives
	// it out. Errors: *studio.InvalidError, studio.ErrNoWorkflow, ErrWorkflowBuiltIn, ErrWorkflowChanged, ErrTooManyWorkflows, ErrNotExportable, ErrUnavailable.
	Workflow(ctx context.Context, id string) (*studio.Workflow, error)
	PreviewWorkflow(ctx context.Context, id string, e studio.WorkflowEdit) (*studio.Workflow, error)
	ImportWorkflow(ctx context.Context, f studio.WorkflowFile) (*studio.Workflow, error)
	EditWorkflow(ctx context.Context, id string, e studio.WorkflowEdit) (*studio.Workflow, error)
	RereadWorkflow(ctx context.Context, id string) (*studio.Workflow, error)
	DeleteWorkflow(ctx context.Context, id string) error
	ExportWorkflow(ctx context.Context, id, format string) (*studio.WorkflowExport, error)

	// Create stores a generation; created is false when the idempotency key named an existing one.
	// Errors: *studio.InvalidError, studio.ErrKeyReused, ErrQueueFull, ErrUnavailable.
	Create(ctx context.Context, r studio.Request) (g studio.Generation, created bool, err error)
	// Cancel asks for the end of a generation; changed is false when it had ended before.
	Cancel(ctx context.Context, id uuid.UUID) (g studio.Generation, changed bool, err error)
	// Retry stores a new generation made from an ended one, with r's fields over the old where
	// they are given (nil: as it was). ErrLive while the old one runs.
	Retry(ctx context.Context, id uuid.UUID, r *studio.Request) (studio.Generation, error)
	// Delete removes an ended generation and the files that nothing else uses. ErrLive, ErrNotFound.
	Delete(ctx context.Context, id uuid.UUID) error

	// State is a generation as it is now: from memory while it lives, else from the database.
	State(ctx context.Context, id uuid.UUID) (*studio.State, error)
	// Resolve finds the generation of a ComfyUI prompt_id, and the image that it makes.
	Resolve(ctx context.Context, promptID string) (id uuid.UUID, imageIndex int, err error)
	// List pages through generations, newest first.
	List(ctx context.Context, f studio.Filter) (studio.Page, error)
	// Neighbours names the next newer and the next older generation; uuid.Nil where there is none.
	Neighbours(ctx context.Context, id uuid.UUID) (newer, older uuid.UUID, err error)
	// Attempts is the record of a generation: every graph that was sent, oldest first.
	Attempts(ctx context.Context, id uuid.UUID) ([]studio.Attempt, error)
	// Timelines is when the last attempt of each of its images came how far.
	Timelines(ctx context.Context, id uuid.UUID) ([]studio.Timeline, error)
	// Usual is what the runs before it of the same kind took.
	Usual(ctx context.Context, id uuid.UUID) (studio.Usual, error)
	// Calibrations is how true the progress of the last runs was.
	Calibrations(ctx context.Context) (studio.Calibrations, error)
	// Output opens a stored output (or its thumbnail) of a generation.
	Output(ctx context.Context, id uuid.UUID, image, output int, thumbnail bool) (*studio.File, error)
	// Upload keeps a picture that was given as an input, UploadOutput one that was made here.
	// Errors: *studio.InvalidError for "file", studio.ErrUploadTooLarge, ErrNoStorage, ErrUnavailable; ErrNotFound of an output.
	Upload(ctx context.Context, user uuid.UUID, r io.Reader) (studio.Upload, error)
	UploadOutput(ctx context.Context, user, generation uuid.UUID, image, output int) (studio.Upload, error)
	// UploadFile opens an upload (or its thumbnail), UploadSize says how large it is. studio.ErrNoUpload.
	UploadFile(ctx context.Context, sha256 string, thumbnail bool) (*studio.File, error)
	UploadSize(ctx context.Context, sha256 string) (width, height int, err error)
	// Preview is the latest live preview of an image, while there is one.
	Preview(ctx context.Context, id uuid.UUID, image int) (*comfy.Preview, bool)

	// Watch follows a generation; it needs one database read at most.
	Watch(ctx context.Context, id uuid.UUID) (*studio.Watch[*studio.State], error)
	// Overview is the present state of the whole installation, from memory.
	Overview() *studio.Overview
	// WatchOverview follows it. Progress of the stage's generation wakes it too.
	WatchOverview() *studio.Watch[*studio.Overview]

	// AddServer stores another ComfyUI; without a name it is called by its host.
	// Errors: *studio.InvalidError for "url" and "name", ErrUnavailable.
	AddServer(ctx context.Context, name, url string) (uuid.UUID, error)
	// RenameServer and RemoveServer: studio.ErrServerLocked for a server of the configuration, ErrNoServer.
	RenameServer(ctx context.Context, id uuid.UUID, name string) error
	RemoveServer(ctx context.Context, id uuid.UUID) error
	// SetServerMode says what a server may do from now on. ErrNoServer.
	SetServerMode(ctx context.Context, id uuid.UUID, mode studio.ServerMode) error
	// TestServer looks at an address for at most ten seconds, TestListedServer at that of a server.
	TestServer(ctx context.Context, url string) (studio.ServerReport, error)
	TestListedServer(ctx context.Context, id uuid.UUID) (studio.ServerReport, error)

	// Move, Prioritise and Hold put a user's waiting generation elsewhere in the queue, before others
	// of its user, or out of it for a while. Errors: studio.ErrNotFound, ErrEnded, ErrBegun, ErrUnavailable; of
	// Move also *studio.InvalidError.
	Move(ctx context.Context, user, id uuid.UUID, m studio.Move) (studio.Generation, error)
	Prioritise(ctx context.Context, user, id uuid.UUID, p studio.Priority) (studio.Generation, error)
	Hold(ctx context.Context, user, id uuid.UUID, held bool) (studio.Generation, error)
	// CancelAll asks for the end of all that a user has asked for until now.
	CancelAll(ctx context.Context, user uuid.UUID) (studio.CancelCounts, error)
	// SetQueuePaused stops or starts the sending of work to all servers.
	SetQueuePaused(ctx context.Context, paused bool) error

	// Settings is what is set for the whole installation.
	Settings() studio.Settings
	// SetWebhook sets the default webhook. *studio.InvalidError, ErrUnavailable.
	SetWebhook(ctx context.Context, address string) error
	// TestWebhook posts a test to it. studio.ErrNoWebhook.
	TestWebhook(ctx context.Context) (studio.Delivery, error)
	// Deliveries pages through the log of webhooks, newest first.
	Deliveries(ctx context.Context, f studio.DeliveryFilter) (studio.DeliveryPage, error)
	// WatchDeliveries follows the newest of them.
	WatchDeliveries(ctx context.Context) (*studio.Watch[[]studio.Delivery], error)
	// Redeliver has a delivery made again. studio.ErrNoDelivery.
	Redeliver(ctx context.Context, id uuid.UUID) (studio.Delivery, error)

	// PushKey is our public key for push subscriptions, in base64url.
	PushKey() string
	// Subscribe stores a browser that wants to be told of ends, of all with every. *studio.InvalidError.
	Subscribe(ctx context.Context, user uuid.UUID, b studio.Browser, every bool) (studio.PushWanted, error)
	// Subscription, Unsubscribe and TestPush: studio.ErrNoSubscription.
	Subscription(ctx context.Context, id uuid.UUID) (studio.PushWanted, error)
	Unsubscribe(ctx context.Context, id uuid.UUID) error
	TestPush(ctx context.Context, id uuid.UUID) error
	// WishPush has a browser told of one generation, or not. studio.ErrNotFound, ErrEnded, ErrNoSubscription.
	WishPush(ctx context.Context, id, generation uuid.UUID, wished bool) error

	// Ready says whether the database answers and migrations are current.
	Ready(ctx context.Context) error
	// Storage says whether the storage of the pictures answers.
	Storage(ctx context.Context) error
}
