// Package browser drives a real Chromium over the pages. Tab is what its tests need of one.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait; what it waits for takes a small part of it.
const patience = 2 * time.Minute

// chromium starts one browser for the whole test process.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path, err := lookChromium()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "easel-chromium-")
	if err != nil {
		return nil, err
	}
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	quit = func() {
		stop()
		stopAllocator()
		_ = os.RemoveAll(dir)
	}
	return ctx, chromedp.Do(ctx)
})

var quit = func() {}

// Quit ends the browser; call it from TestMain.
func Quit() { quit() }

func lookChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium: %w (make test installs it)", exec.ErrNotFound)
}

// Tab is one page of a visitor with cookies of its own.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	base string

	world runtime.ExecutionContextID // of a frame; 0: the page itself

	noScript bool

	mu         sync.Mutex
	complaints []string // violations of the CSP, exceptions, errors on the console
}

// TabOptions of a new tab.
type TabOptions struct {
	Width, Height int  // CSS pixels; 0: 1280 x 900
	Dark          bool // prefers-color-scheme
	NoScript      bool // JavaScript off
	SameVisitor   *Tab // share that tab's cookies, in a window beside it
	SameWindow    bool // in SameVisitor's window: that tab is hidden behind this one
}

// Open opens a tab at the site base (an URL without a slash at the end).
func Open(t testing.TB, base string, o TabOptions) *Tab {
	t.Helper()
	parent, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	how := chromedp.WithNewBrowserContext()
	if o.SameVisitor != nil {
		parent = o.SameVisitor.ctx
		how = chromedp.WithNewWindow(!o.SameWindow)
	}
	ctx, cancel := chromedp.NewContext(parent, how)
	tab := &Tab{t: t, ctx: ctx, base: base, noScript: o.NoScript}
	t.Cleanup(func() {
		if t.Failed() {
			tab.keepScreenshot()
		}
		cancel()
	})
	if o.Width == 0 {
		o.Width, o.Height = 1280, 900
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	if err := chromedp.Listen(ctx, tab.listen); err != nil {
		t.Fatal(err)
	}
	viewport := chromedp.EmulateViewport(int64(o.Width), int64(o.Height))
	if o.Width < 600 {
		viewport = chromedp.EmulateViewport(int64(o.Width), int64(o.Height), chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	tab.do("prepare the tab", viewport,
		call(log.Enable, cdp.Empty{}),
		call(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: reportViolations}),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScript}),
	)
	return tab
}

// reportViolations turns what the Content-Security-Policy refused into a line on the console.
const reportViolations = `document.addEventListener('securitypolicyviolation',
	e => console.error('securitypolicyviolation', e.violatedDirective, e.blockedURI, e.sample))`

func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, command, params)
		return chromedp.Void{}, err
	}
}

// listen runs on the goroutine that reads the browser: it only notes.
func (tab *Tab) listen(event any) {
	var complaint string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			complaint += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type != "error" && e.Type != "warning" {
			return
		}
		complaint = "console:"
		for _, arg := range e.Args {
			complaint += " " + string(arg.Value) + arg.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Source == "network" || (e.Entry.Level != "error" && e.Entry.Level != "warning") {
			return // refused connections are what the tests bring about
		}
		complaint = "log: " + e.Entry.Text
	default:
		return
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.complaints = append(tab.complaints, complaint)
}

// Complaints are the exceptions, console errors and violations of the CSP so far.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.complaints...)
}

// NoComplaints fails the test when the browser found something wrong with the pages.
func (tab *Tab) NoComplaints() {
	tab.t.Helper()
	for _, c := range tab.Complaints() {
		tab.t.Errorf("the browser complains: %s", c)
	}
}

func (tab *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if chromedp.FromContext(tab.ctx).Target == nil { // the first call binds the tab's life to its context
		ctx = tab.ctx
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		tab.t.Fatalf("%s: %v", what, err)
	}
}

// Goto opens a path of the site and waits until it has loaded.
func (tab *Tab) Goto(path string) {
	tab.t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = tab.base + path
	}
	tab.do("open "+path, chromedp.Navigate(address))
}

// Reload loads the page again.
func (tab *Tab) Reload() {
	tab.t.Helper()
	tab.do("reload", chromedp.Reload())
}

// Show brings the tab to the front of its window, and hides the one that was there.
func (tab *Tab) Show() {
	tab.t.Helper()
	tab.do("show the tab", call(page.BringToFront, cdp.Empty{}))
}

// Eval gives the value of a JavaScript expression; promises are awaited.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	value, err := try[T](tab, expression)
	if err != nil {
		tab.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func try[T any](tab *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise, func(p *runtime.EvaluateParams) {
		if tab.world != 0 {
			p.ContextID = tab.world
		}
	}))
}

// Frame is the first frame in the page, once it has loaded address, for looking at: what it shows,
// of whatever origin, and not what its scripts hold.
func (tab *Tab) Frame(address string) *Tab {
	tab.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		world, err := chromedp.Run(tab.ctx, func(ctx context.Context, target *chromedp.Target) (runtime.ExecutionContextID, error) {
			tree, err := cdp.Call(ctx, target, page.GetFrameTree, cdp.Empty{})
			if err != nil || len(tree.FrameTree.ChildFrames) == 0 || tree.FrameTree.ChildFrames[0].Frame.URL != address {
				return 0, err
			}
			made, err := cdp.Call(ctx, target, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.ChildFrames[0].Frame.ID})
			return made.ExecutionContextID, err
		})
		if err == nil && world != 0 {
			return &Tab{t: tab.t, ctx: tab.ctx, base: tab.base, world: world}
		}
		select {
		case <-tick.C:
		case <-deadline:
			tab.t.Fatalf("waited %s for a frame with %s: %v", patience, address, err)
		}
	}
}

// Wait waits until a JavaScript expression is true, over navigations too. It asks again every
// 30 ms, since with scripts off the page itself cannot tell.
func (tab *Tab) Wait(expression string) {
	tab.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		ok, err := try[bool](tab, "!!("+expression+")")
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			text, _ := try[string](tab, "location.href + '\n' + document.body.innerText")
			tab.t.Fatalf("waited %s for %s (%v), complaints %q; the page is\n%s", patience, expression, err, tab.Complaints(), text)
		}
	}
}

// WaitText waits until the first element that matches selector contains text.
func (tab *Tab) WaitText(selector, text string) {
	tab.t.Helper()
	tab.Wait(fmt.Sprintf("document.querySelector(%s)?.textContent.includes(%s)", quote(selector), quote(text)))
}

// Text is the text of the first element that matches selector, white space folded.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return strings.Join(strings.Fields(Eval[string](tab, fmt.Sprintf("document.querySelector(%s)?.textContent ?? ''", quote(selector)))), " ")
}

// Count is how many elements match selector.
func (tab *Tab) Count(selector string) int {
	tab.t.Helper()
	return Eval[int](tab, fmt.Sprintf("document.querySelectorAll(%s).length", quote(selector)))
}

// Click presses the first element that matches selector, as a mouse does.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.do("click "+selector, chromedp.Click(selector))
}

// Press presses what a visitor sees called name: the first visible link, button, summary or label
// whose text begins so and which nothing covers.
func (tab *Tab) Press(name string) {
	tab.t.Helper()
	find := `(name => {
		for (const e of document.querySelectorAll('a, button, summary, label')) {
			if (!e.checkVisibility() || !e.textContent.trim().replace(/\s+/g, ' ').startsWith(name)) continue;
			e.scrollIntoView({block: 'center', behavior: 'instant'});
			const box = e.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
			const top = document.elementFromPoint(x, y);
			if (top && e.contains(top)) return [x, y];
		}
		return null;
	})(` + quote(name) + `)`
	tab.Wait(find)
	at := Eval[[]float64](tab, find)
	if len(at) != 2 {
		tab.t.Fatalf("%q has gone", name)
	}
	tab.do("press "+name, chromedp.MouseClickXY(at[0], at[1]))
}

// DoubleClick presses the first element that matches selector twice, as fast as a mouse does.
func (tab *Tab) DoubleClick(selector string) {
	tab.t.Helper()
	tab.do("double click "+selector, chromedp.DoubleClick(selector))
}

// Type replaces the value of a control, key by key.
func (tab *Tab) Type(selector, text string) {
	tab.t.Helper()
	Eval[bool](tab, fmt.Sprintf("(e => { e.focus(); e.select?.(); return true })(document.querySelector(%s))", quote(selector)))
	tab.Keys(text)
}

// Keys sends keys to whatever has the focus; kb has the names of special ones.
func (tab *Tab) Keys(keys string, options ...chromedp.KeyOption) {
	tab.t.Helper()
	tab.do("press keys", chromedp.KeyEvent(keys, options...))
}

// Shortcut presses one key that the page may answer to by itself: unlike Keys, a key that the page
// takes for itself types nothing.
func (tab *Tab) Shortcut(key string) {
	tab.t.Helper()
	for _, event := range []input.DispatchKeyEventParams{
		{Type: "keyDown", Key: key, Text: key},
		{Type: "keyUp", Key: key},
	} {
		tab.do("press "+key, call(input.DispatchKeyEvent, event))
	}
}

// Screenshot writes what the tab shows into a PNG file.
func (tab *Tab) Screenshot(path string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatalf("screenshot: %v", err)
	}
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		tab.t.Fatal(err)
	}
}

// keepScreenshot shows what a failed test saw last.
func (tab *Tab) keepScreenshot() {
	ctx, cancel := context.WithTimeout(tab.ctx, 10*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return
	}
	path := filepath.Join(os.TempDir(), strings.ReplaceAll(tab.t.Name(), "/", "-")+".png")
	if os.WriteFile(path, picture, 0o600) == nil {
		tab.t.Logf("the tab's last picture is in %s", path)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string always encodes
	return string(b)
}
