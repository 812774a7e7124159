package trouble

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"easel/test/harness"
)

// nobody is an account that every machine has.
var nobody = harness.Account{UID: 65534, GID: 65534}

// The first start on a new machine and the second one, as root where the tests are root, and as a
// normal user (P21, P22): private Postgres, demo server, a picture; and all is still there.
func TestFirstAndSecondStart(t *testing.T) {
	t.Parallel()
	accounts := map[string]*harness.Account{"as we are": nil}
	if os.Geteuid() == 0 {
		accounts["as a normal user"] = &nobody
	}
	for name, account := range accounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := harness.DataDir(t)
			if account != nil {
				if err := os.Chown(dir, int(account.UID), int(account.GID)); err != nil {
					t.Fatal(err)
				}
			}
			e := harness.Start(t, harness.Options{DataDir: dir, Account: account})
			if _, page := e.Get("/"); !contains(page, "Demo server.") {
				t.Error("the first page does not name the demo server")
			}
			id := e.Generate(harness.Ask{Prompt: "the first one", Steps: 2})
			e.AwaitStatus(id, "complete")
			first := picture(t, e, id)
			if strays := e.Strays(); len(strays) == 0 {
				t.Error("no private Postgres runs")
			}
			e.Stop()
			if strays := e.Strays(); len(strays) != 0 {
				t.Errorf("after the stop processes %v are left", strays)
			}
			e.Restart()
			if again := picture(t, e, id); string(again) != string(first) {
				t.Errorf("after the second start the picture has %d bytes, had %d", len(again), len(first))
			}
			e.AwaitStatus(e.Generate(harness.Ask{Prompt: "the second one", Steps: 2}), "complete")
		})
	}
}

// Two Easels on one data folder: the second says who holds it, and the first does not notice.
func TestTwoEaselsOnOneFolder(t *testing.T) {
	t.Parallel()
	e := harness.Start(t, harness.Options{})
	code, output := harness.Run(t, harness.Options{DataDir: e.DataDir})
	if code != 1 || !contains(output, strconv.Itoa(e.PID())) || !contains(output, "EASEL_DATA_DIR") {
		t.Errorf("the second Easel ended with %d and said\n%s\nwant 1, process %d and the way out", code, output, e.PID())
	}
	if status, _ := e.Get("/readyz"); status != 200 {
		t.Errorf("the first one's /readyz: %d", status)
	}
	e.Generate(harness.Ask{Prompt: "undisturbed"})
}

// A configuration that cannot be meant stops the start with exit code 2, the variable and the way out
// (row 41); nothing is made in the data folder.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"unknown variable":       {[]string{"EASEL_LOG_LEVE=info"}, []string{"EASEL_LOG_LEVE", "did you mean EASEL_LOG_LEVEL?"}},
		"unknown, nothing near":  {[]string{"EASEL_TURBO=1"}, []string{"EASEL_TURBO", "easel config"}},
		"bad duration":           {[]string{"EASEL_SHUTDOWN_TIMEOUT=soon"}, []string{"EASEL_SHUTDOWN_TIMEOUT"}},
		"value and file":         {[]string{"DATABASE_URL=postgres://a:hunter2@b/c", "DATABASE_URL_FILE=" + missing}, []string{"DATABASE_URL and DATABASE_URL_FILE"}},
		"unreadable file":        {[]string{"EASEL_PG_USER_FILE=" + missing}, []string{"EASEL_PG_USER_FILE", missing}},
		"exposed":                {[]string{"EASEL_LISTEN=0.0.0.0:0"}, []string{"EASEL_LISTEN", "EASEL_AUTH=none"}},
		"exposed by an omission": {[]string{"EASEL_LISTEN=:0"}, []string{"EASEL_LISTEN", "EASEL_AUTH=none"}},
		"link-local ComfyUI":     {[]string{"COMFYUI_URL=http://169.254.169.254"}, []string{"COMFYUI_URL", "link-local"}},
		"no address":             {[]string{"COMFYUI_URL=gopher://127.0.0.1"}, []string{"COMFYUI_URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := harness.DataDir(t)
			code, output := harness.Run(t, harness.Options{DataDir: dir, Env: c.env})
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range c.want {
				if !contains(output, want) {
					t.Errorf("it does not say %q:\n%s", want, output)
				}
			}
			if contains(output, "hunter2") {
				t.Errorf("it tells the password:\n%s", output)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("the data folder holds %v, %v", entries, err)
			}
		})
	}
}

// A bind beyond loopback works when it is spelled out that there is no login.
func TestExposedOnPurpose(t *testing.T) {
	t.Parallel()
	e := harness.Start(t, harness.Options{Env: []string{"EASEL_LISTEN=0.0.0.0:0", "EASEL_AUTH=none"}})
	if !strings.HasPrefix(e.URL, "http://localhost:") {
		t.Errorf("it says that it is at %s", e.URL)
	}
	if status, _ := e.Get("/readyz"); status != 200 {
		t.Errorf("GET /readyz: %d", status)
	}
}

// The port is taken: said, with the way out, before any data is touched.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	e := harness.Start(t, harness.Options{})
	dir := harness.DataDir(t)
	code, output := harness.Run(t, harness.Options{DataDir: dir, Env: []string{"EASEL_LISTEN=" + strings.TrimPrefix(e.URL, "http://")}})
	if code != 1 || !contains(output, "EASEL_LISTEN") {
		t.Errorf("exit code %d and\n%s", code, output)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the data folder holds %v, %v", entries, err)
	}
}
