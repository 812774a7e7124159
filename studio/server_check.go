package studio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"easel/comfy"
	"easel/comfy/workflow"
	"easel/db"
)

// Verdict is what one check of a server comes to.
type Verdict string

// The verdicts.
const (
	VerdictOK   Verdict = "ok"
	VerdictWarn Verdict = "warn" // it can be used, with less than one might expect
	VerdictBad  Verdict = "bad"  // nothing can be made there
)

// ServerCheck is one thing that was looked at.
type ServerCheck struct {
	Name    string  `json:"name"` // "Answers", "Version", ...
	Verdict Verdict `json:"verdict"`
	Words   string  `json:"words"` // a sentence
}

// ServerReport is what a test of a server found.
type ServerReport struct {
	URL    string        `json:"url"`    // without userinfo
	Usable bool          `json:"usable"` // nothing is bad
	Took   time.Duration `json:"-"`
	Checks []ServerCheck `json:"checks"` // in the order in which they are read
}

// Bounds of a test. Someone waits for it, so each part has less patience than in the work itself.
const (
	testTimeout   = 10 * time.Second
	testRequest   = 5 * time.Second
	testSocketMax = 1 << 20 // bytes of one message: a greeting, flags, at most a preview
)

// oldestTried is the oldest version of ComfyUI that is known to take prompt ids of ours.
var oldestTried = [3]int{0, 3, 64}

// TestServer looks at whatever is at an address, for at most ten seconds: only questions, nothing
// is made or changed there, and nothing that it names is followed. Errors: *InvalidError for the
// field "url"; all else is in the report.
func (s *Studio) TestServer(ctx context.Context, address string) (ServerReport, error) {
	return CheckServer(ctx, address)
}

// TestListedServer is TestServer for a server of the list, with the login that its address has.
// Errors: ErrNoServer, ErrUnavailable.
func (s *Studio) TestListedServer(ctx context.Context, id uuid.UUID) (ServerReport, error) {
	row, err := db.One(s.queries.ServerKept(ctx, id))
	if errors.Is(err, db.ErrNotFound) {
		return ServerReport{}, ErrNoServer
	}
	if err != nil {
		return ServerReport{}, unavailable(fmt.Errorf("read server: %w", err))
	}
	return CheckServer(ctx, row.URL)
}

// CheckServer is Studio.TestServer, which needs neither database nor configuration.
func CheckServer(ctx context.Context, address string) (ServerReport, error) {
	base, complaint := checkServerURL(address)
	if complaint != "" {
		return ServerReport{}, &InvalidError{Fields: []FieldError{{"url", complaint}}}
	}
	client, err := comfy.NewClient(base, comfy.ClientOptions{APITimeout: testRequest, TransferTimeout: testRequest})
	if err != nil {
		return ServerReport{}, &InvalidError{Fields: []FieldError{{"url", "This address cannot be used."}}}
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()

	began := time.Now()
	report := ServerReport{URL: client.String()}
	stats, err := client.SystemStats(ctx)
	if err != nil {
		report.Checks = []ServerCheck{{"Answers", VerdictBad, whyNot(err)}}
	} else {
		report.Checks = []ServerCheck{{"Answers", VerdictOK, fmt.Sprintf("It is a ComfyUI, and answered in %d ms.", time.Since(began).Milliseconds())}}
		report.Checks = append(report.Checks, checkVersion(stats.System.ComfyUIVersion), checkDevices(stats.Devices))
		report.Checks = append(report.Checks, checkAtOnce(ctx, client, base)...)
	}
	report.Took = time.Since(began)
	report.Usable = !slices.ContainsFunc(report.Checks, func(c ServerCheck) bool { return c.Verdict == VerdictBad })
	return report, nil
}

// checkAtOnce makes the checks that each take a while.
func checkAtOnce(ctx context.Context, client *comfy.Client, base string) []ServerCheck {
	checks := []func() ServerCheck{
		func() ServerCheck { return checkEvents(ctx, base) },
		func() ServerCheck { return checkNodes(ctx, client) },
		func() ServerCheck { return checkQueue(ctx, client) },
	}
	found := make([]ServerCheck, len(checks))
	var wait sync.WaitGroup
	for i, check := range checks {
		wait.Go(func() { found[i] = check() })
	}
	wait.Wait()
	return found
}

// checkVersion tells by the version whether prompts may have ids of ours, which all else is built on.
func checkVersion(version string) ServerCheck {
	version = label(version)
	parsed, ok := parseVersion(version)
	switch {
	case version == "":
		return ServerCheck{"Version", VerdictWarn, "It does not say its version. Easel needs one that takes prompt ids from outside, such as " + versionText(oldestTried) + " or newer."}
	case !ok:
		return ServerCheck{"Version", VerdictWarn, "ComfyUI " + version + ", which cannot be compared with " + versionText(oldestTried) + ", the oldest that was tried."}
	case slices.Compare(parsed[:], oldestTried[:]) < 0:
		return ServerCheck{"Version", VerdictWarn, "ComfyUI " + version + " is older than " + versionText(oldestTried) + ", the oldest that was tried. If it does not take prompt ids from outside, nothing can be made there: please update it."}
	}
	return ServerCheck{"Version", VerdictOK, "ComfyUI " + version + ", which takes prompt ids from outside."}
}

func versionText(v [3]int) string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// parseVersion reads 0.3.64, also with a v before it and more behind it.
func parseVersion(text string) (v [3]int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(text, "v"), ".", 3)
	for i, part := range parts {
		if end := strings.IndexFunc(part, func(c rune) bool { return c < '0' || c > '9' }); end >= 0 && i == len(parts)-1 {
			part = part[:end]
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, len(parts) >= 2
}

func checkDevices(devices []comfy.Device) ServerCheck {
	if len(devices) == 0 {
		return ServerCheck{"Devices", VerdictWarn, "It names no device that computes."}
	}
	const most = 8 // of which more is told than their number
	words := make([]string, 0, most)
	for _, d := range devices[:min(len(devices), most)] {
		text := label(d.Name)
		if text == "" {
			text = label(d.Type)
		}
		if d.VRAMTotal > 0 {
			text += fmt.Sprintf(" with %.1f of %.1f GB free", float64(max(d.VRAMFree, 0))/1e9, float64(d.VRAMTotal)/1e9)
		}
		words = append(words, text)
	}
	if more := len(devices) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	if devices[0].Type == "cpu" {
		return ServerCheck{"Devices", VerdictWarn, strings.Join(words, "; ") + ". It computes on the processor, which is slow."}
	}
	return ServerCheck{"Devices", VerdictOK, strings.Join(words, "; ") + "."}
}

// checkEvents opens a WebSocket under an id that nobody else has, and asks something there. An
// answer says that the table of clients is in order.
func checkEvents(ctx context.Context, base string) ServerCheck {
	const name = "Events"
	ctx, cancel := context.WithTimeout(ctx, testRequest)
	defer cancel()
	var mu sync.Mutex
	var greeted, answered bool
	var lost error
	socket := comfy.NewSocket(comfy.SocketConfig{
		URL: base, ClientID: "easel-test-" + uuid.NewString(), HandshakeTimeout: testRequest, ReadLimit: testSocketMax,
		OnMessage: func(m comfy.Message) {
			mu.Lock()
			defer mu.Unlock()
			greeted = true
			if m.Type == comfy.TypeFeatureFlags {
				answered = true
				cancel()
			}
		},
		OnState: func(state comfy.SocketState) {
			mu.Lock()
			defer mu.Unlock()
			if !state.Connected && lost == nil && ctx.Err() == nil {
				lost = state.Err
				cancel()
			}
		},
	})
	_ = socket.Run(ctx) // it ends with ctx; what matters was told on the way
	mu.Lock()
	defer mu.Unlock()
	switch {
	case answered:
		return ServerCheck{name, VerdictOK, "Its WebSocket opens and answers: live steps and previews will come."}
	case lost != nil && errors.Is(lost, comfy.ErrNotComfyUI):
		return ServerCheck{name, VerdictBad, "Its WebSocket (/ws) is refused. A proxy in front of it must let WebSockets through."}
	case lost != nil:
		return ServerCheck{name, VerdictBad, "Its WebSocket (/ws) cannot be kept open, so nothing would be sent there."}
	case greeted:
		return ServerCheck{name, VerdictWarn, "Its WebSocket opens but does not answer: an old version, or its events are stalled, which restarting that ComfyUI cures."}
	}
	return ServerCheck{name, VerdictBad, "Its WebSocket (/ws) did not open in time, so nothing would be sent there."}
}

// checkNodes counts what can be built with.
func checkNodes(ctx context.Context, client *comfy.Client) ServerCheck {
	const name = "Nodes and models"
	raw, err := client.ObjectInfo(ctx)
	if err != nil {
		return ServerCheck{name, VerdictWarn, "Its list of nodes (/object_info) could not be read in time."}
	}
	info, err := workflow.ParseObjectInfo(raw)
	if err != nil {
		return ServerCheck{name, VerdictBad, "Its list of nodes (/object_info) cannot be read."}
	}
	nodes, models := len(info.Names()), checkpoints(info)
	words := count(nodes, "node") + ", " + count(models, "checkpoint") + "."
	if models == 0 {
		return ServerCheck{name, VerdictWarn, words + " Without a checkpoint the built-in workflow cannot run there."}
	}
	return ServerCheck{name, VerdictOK, words}
}

// checkpoints is how many models the loader of the built-in workflow offers.
func checkpoints(info *workflow.ObjectInfo) int {
	class, ok := info.Class("CheckpointLoaderSimple")
	if !ok {
		return 0
	}
	input, ok := class.Input("ckpt_name")
	if !ok {
		return 0
	}
	return len(input.Choices)
}

func checkQueue(ctx context.Context, client *comfy.Client) ServerCheck {
	const name = "Queue"
	queue, err := client.Queue(ctx)
	if err != nil {
		return ServerCheck{name, VerdictBad, "Its queue cannot be read: " + whyNot(err)}
	}
	n := len(queue.Running) + len(queue.Pending)
	if n == 0 {
		return ServerCheck{name, VerdictOK, "Nothing waits there."}
	}
	return ServerCheck{name, VerdictOK, count(n, "prompt") + " inside, ours or others'."}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// whyNot says what is wrong with an address that gave no usable answer, and what to do. It is more
// exact than what is said of a server that used to answer.
func whyNot(err error) string {
	var dns *net.DNSError
	var network net.Error
	var status *comfy.StatusError
	switch {
	case errors.Is(err, comfy.ErrLinkLocal):
		return "Its name leads to a link-local address, where no ComfyUI is."
	case errors.As(err, &status) && (status.Code == 401 || status.Code == 403):
		return fmt.Sprintf("It asks for a login (status %d). A user and a password may stand in the address: http://user:password@host.", status.Code)
	case errors.As(err, &dns):
		return "There is no host of that name."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing listens there: the connection was refused. Is ComfyUI running, and with --listen if it is on another machine?"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "Nothing answered in time. A firewall may be in the way, or ComfyUI hangs."
	case errors.Is(err, comfy.ErrNotComfyUI), errors.Is(err, comfy.ErrTooLarge):
		return sentence(err)
	}
	return sentence(err)
}
