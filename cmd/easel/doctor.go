package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"easel"
	"easel/db"
	"easel/studio"
)

// Bounds of a look. Somebody waits for it.
const (
	doctorWait = 10 * time.Second // for each thing; a private database may have to start first
	littleRoom = 1 << 30          // bytes left on a disk
	clockSkew  = 2 * time.Second
	busWait    = 5 * time.Second
)

// finding is one thing that was looked at.
type finding struct {
	Name    string         `json:"name"`
	Verdict studio.Verdict `json:"verdict"` // ok, warn, bad
	Words   string         `json:"words"`   // with what to do next
}

// examination collects findings.
type examination struct {
	config     easel.Config
	findings   []finding
	noDatabase bool
}

func (x *examination) ok(name, words string, values ...any) {
	x.add(name, studio.VerdictOK, words, values)
}

func (x *examination) warn(name, words string, values ...any) {
	x.add(name, studio.VerdictWarn, words, values)
}

func (x *examination) bad(name, words string, values ...any) {
	x.add(name, studio.VerdictBad, words, values)
}

func (x *examination) add(name string, verdict studio.Verdict, words string, values []any) {
	x.findings = append(x.findings, finding{name, verdict, fmt.Sprintf(words, values...)})
}

func newDoctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything that Easel needs, and say what to do",
		Long: "Looks at folders, database, storage, ports and each ComfyUI. Easel may be running. Nothing is changed, but for a file\n" +
			"that is stored and removed again, and a private database that nobody runs is started for the while, and made on a new machine.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := load(cmd)
			if err != nil {
				return err
			}
			config.Logger = newLogger(config)
			x := &examination{config: config}
			x.look(cmd.Context())
			if err := x.print(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			return x.verdict()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (x *examination) look(ctx context.Context) {
	x.ok("configuration", "It can be read.")
	x.folder()
	x.port(ctx)
	x.key()
	x.stores(ctx)
	x.servers(ctx)
}

func (x *examination) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(x.findings)
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, f := range x.findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Verdict, f.Name, strings.ReplaceAll(f.Words, "\n", " "))
	}
	return table.Flush()
}

func (x *examination) verdict() error {
	n := 0
	for _, f := range x.findings {
		if f.Verdict == studio.VerdictBad {
			n++
		}
	}
	switch {
	case x.noDatabase:
		return databaseError{errors.New("there is no database to work with")}
	case n > 0:
		return fmt.Errorf("%d things are wrong", n)
	}
	return nil
}

func (x *examination) folder() {
	const name = "data folder"
	dir := x.config.DataDir
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // the private database's user must cross it
		x.bad(name, "%v. Make it, or choose another with EASEL_DATA_DIR.", err)
		return
	}
	file, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		x.bad(name, "Nothing can be written there: %v. Give it to the user that runs Easel.", err)
		return
	}
	_ = file.Close()
	if err := os.Remove(file.Name()); err != nil {
		x.bad(name, "%v.", err)
		return
	}
	switch free := freeBytes(dir); {
	case free < 0:
		x.ok(name, "%s can be written.", dir)
	case free < littleRoom:
		x.warn(name, "%s can be written, and has %d MB left. Make room: without it, finished pictures wait in ComfyUI.", dir, free/1e6)
	default:
		x.ok(name, "%s can be written, and has %d GB left.", dir, free/1e9)
	}
}

func (x *examination) port(ctx context.Context) {
	const name = "port"
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", x.config.Listen)
	if err == nil {
		_ = listener.Close()
		x.ok(name, "%s is free.", x.config.Listen)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	if _, port, splitErr := net.SplitHostPort(x.config.Listen); splitErr == nil {
		address := "http://" + net.JoinHostPort("127.0.0.1", port) + x.config.BasePath + "/healthz"
		if request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil); err == nil {
			if response, err := http.DefaultClient.Do(request); err == nil {
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					x.ok(name, "An Easel is running at %s.", x.config.Listen)
					return
				}
			}
		}
	}
	x.bad(name, "%v. Stop what uses it, or choose another address with EASEL_LISTEN or PORT.", err)
}

func (x *examination) key() {
	const name = "secret key"
	switch _, err := os.Stat(filepath.Join(x.config.DataDir, "keys")); {
	case x.config.SecretKey != "":
		x.ok(name, "EASEL_SECRET_KEY is set.")
	case x.config.DatabaseURL != "":
		x.warn(name, "Each instance draws its own. Where there are several, set the same EASEL_SECRET_KEY for all.")
	case err == nil:
		x.ok(name, "It is kept in the data folder.")
	default:
		x.ok(name, "It will be drawn at the first start.")
	}
}

func (x *examination) stores(ctx context.Context) {
	const name = "database"
	storage, err := x.config.OpenStorage()
	if err != nil {
		x.bad("storage", "%v.", err)
		return
	}
	_ = storage.Close() // it opens; whether it works is asked below
	began := time.Now()
	stores, err := easel.OpenStores(ctx, x.config, true)
	if err != nil {
		x.noDatabase = true
		x.bad(name, "%v. Look at DATABASE_URL, or leave it empty for a private one.", err)
		return
	}
	defer func() {
		if err := stores.Close(); err != nil {
			x.bad(name, "It does not stop: %v.", err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	var version string
	var clock time.Time
	asked := time.Now()
	if err := stores.Pool.QueryRow(ctx, "SELECT current_setting('server_version'), clock_timestamp()").Scan(&version, &clock); err != nil {
		x.noDatabase = true
		x.bad(name, "It does not answer: %v.", err)
		return
	}
	x.ok(name, "Postgres %s answers, %d ms after it was asked for.", version, time.Since(began).Milliseconds())
	if skew := clock.Sub(asked.Add(time.Since(asked) / 2)).Abs(); skew > clockSkew {
		x.warn("clock", "It differs from the database's by %s. Leases go by the database's and do not mind; times on pages do. Run NTP on both.", skew.Round(time.Millisecond))
	} else {
		x.ok("clock", "It differs from the database's by %s.", skew.Round(time.Millisecond))
	}
	x.schema(ctx, stores.Pool)
	x.notices(ctx, stores.Pool)
	x.bus(ctx)
	x.storage(ctx, stores.Storage)
}

func (x *examination) schema(ctx context.Context, pool *pgxpool.Pool) {
	const name = "schema"
	switch current, known, err := db.SchemaVersion(ctx, pool); {
	case err != nil:
		x.bad(name, "%v.", err)
	case current > known:
		x.bad(name, "It has version %d and this Easel knows up to %d. Start the newer Easel, or restore the backup made before the upgrade.", current, known)
	case current < known:
		x.warn(name, "It has version %d; the next start brings it to %d.", current, known)
	default:
		x.ok(name, "It has version %d, the latest.", current)
	}
}

// notices sends one NOTIFY to itself. A pooler that lends connections by transaction swallows it.
func (x *examination) notices(ctx context.Context, pool *pgxpool.Pool) {
	const name, channel = "notices", "easel_doctor"
	heard := func() error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		ear := conn.Hijack() // it listens, and is nobody's afterwards
		defer func() { _ = ear.Close(context.WithoutCancel(ctx)) }()
		if _, err := ear.Exec(ctx, "LISTEN "+channel); err != nil {
			return err
		}
		nonce := rand.Text()
		if _, err := pool.Exec(ctx, "SELECT pg_notify($1, $2)", channel, nonce); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		for {
			if n, err := ear.WaitForNotification(ctx); err != nil || n.Payload == nonce {
				return err
			}
		}
	}
	if err := heard(); err != nil {
		x.warn(name, "LISTEN does not hear NOTIFY: %v. A pooler in transaction mode does that; Easel asks every second instead. "+
			"Let DATABASE_URL go past it.", err)
		return
	}
	x.ok(name, "LISTEN hears NOTIFY.")
}

// bus says something on the bus of EASEL_BUS, on a channel of its own, and waits until it comes back.
func (x *examination) bus(ctx context.Context) {
	const name = "bus"
	bus, err := x.config.ProbeBus("easel_doctor")
	if err != nil {
		x.bad(name, "%v.", err)
		return
	}
	if bus == nil { // the database, or nobody: there is nothing more to ask
		return
	}
	ctx, cancel := context.WithTimeout(ctx, busWait)
	defer cancel()
	began := time.Now()
	nonce := []byte(rand.Text())
	listening, heard := make(chan struct{}, 1), make(chan struct{}, 1)
	signal := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() {
		ended <- bus.Run(running, func(message []byte) {
			if bytes.Equal(message, nonce) {
				signal(heard)
			}
		}, func() { signal(listening) })
	}()
	what := "It cannot be reached"
	select {
	case <-ctx.Done():
		err = bus.Healthy()
	case <-listening:
		what = "What is said there does not come back"
		if err = bus.Publish(ctx, nonce); err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-heard:
				what = ""
			}
		}
	}
	stop()
	err = cmp.Or(<-ended, err)
	if what != "" {
		x.warn(name, "%s: %v. Look at EASEL_BUS, %s; until then Easel asks the database every second instead.", what, err, x.config.Bus)
		return
	}
	x.ok(name, "%s brought back what was said there in %d ms.", x.config.Bus, time.Since(began).Milliseconds())
}

// storage stores a file that nobody else has, reads it and removes it.
func (x *examination) storage(ctx context.Context, storage easel.Storage) {
	const name = "storage"
	began := time.Now()
	if err := storage.Check(ctx); err != nil {
		x.bad(name, "%v. Look at EASEL_STORAGE and its keys.", err)
		return
	}
	probe := "easel doctor " + rand.Text()
	info, err := storage.Put(ctx, strings.NewReader(probe), int64(len(probe)))
	if err != nil {
		x.bad(name, "Nothing can be stored: %v. Look at rights and room there.", err)
		return
	}
	kept, err := storage.Open(ctx, info.SHA256)
	if err == nil {
		var content []byte
		content, err = io.ReadAll(kept)
		if err = errors.Join(err, kept.Close()); err == nil && string(content) != probe {
			err = errors.New("other bytes came back")
		}
	}
	if err != nil {
		x.bad(name, "What was stored cannot be read: %v.", err)
		return
	}
	if err := storage.Delete(ctx, info.SHA256); err != nil {
		x.warn(name, "Files can be stored and read, and not removed: %v. Deleted pictures would stay there.", err)
		return
	}
	x.ok(name, "A file was stored, read and removed in %d ms.", time.Since(began).Milliseconds())
}

func (x *examination) servers(ctx context.Context) {
	servers, err := x.config.Servers()
	if err != nil {
		x.bad("ComfyUI", "%v.", err)
		return
	}
	if len(servers) == 0 {
		x.warn("ComfyUI", "COMFYUI_URL is not set: one at 127.0.0.1:8188 or :8000 is used, else the built-in demo.")
	}
	for _, server := range servers {
		report, err := studio.CheckServer(ctx, server.URL)
		if err != nil {
			x.bad(server.Name, "%v", err)
			continue
		}
		for _, check := range report.Checks {
			x.add(server.Name+": "+strings.ToLower(check.Name), check.Verdict, "%s", []any{check.Words})
		}
	}
}
