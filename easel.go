// Package easel is a live studio in front of ComfyUI, as a whole: database, pictures, servers,
// pages. cmd/easel runs it; another Go program can mount it under a prefix:
//
//	app, err := easel.New(ctx, easel.Config{BasePath: "/studio", DataDir: "data", ...})
//	mux.Handle("/studio/", app.Handler())
//	go app.Run(ctx) // and wait for it
//	defer app.Close()
package easel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"easel/comfy"
	"easel/comfy/simulator"
	"easel/db"
	"easel/db/embedded"
	"easel/handlers"
	"easel/handlers/metrics"
	"easel/studio"
	"easel/views"
)

// version is set by the linker; a plain go build takes it from the build information.
var version string

// Version is what this build calls itself, such as v1.2.0 or a commit.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// App is an opened Easel. Close ends what New opened.
type App struct {
	config   Config
	logger   *slog.Logger
	postgres *embedded.Server   // nil with a DATABASE_URL
	demo     *simulator.Running // nil with a real ComfyUI
	storage  Storage
	pool     *pgxpool.Pool
	studio   *studio.Studio
	site     *handlers.Server
}

// New opens everything that config names: data folder, database (its own Postgres when there is
// no DatabaseURL), migrations, pictures, servers. Work begins with Run. ctx bounds the opening.
//
// A config that came from Load is complete; one made by hand may leave fields out, which then
// have their defaults.
func New(ctx context.Context, config Config) (_ *App, err error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	a := &App{config: config, logger: config.Logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := os.MkdirAll(config.DataDir, 0o711); err != nil { //nolint:gosec // the private database's user must cross it
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(config.scratch(), 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if a.storage, err = config.OpenStorage(); err != nil {
		return nil, err
	}
	if err := a.checkStorage(ctx); err != nil {
		return nil, err
	}
	patience := newPatience(a.logger)
	if err := a.openDatabase(ctx, patience); err != nil {
		return nil, err
	}
	secret, err := config.webhookSecret()
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	pushKey, err := config.pushKey()
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	servers, err := a.findServers(ctx, patience)
	if err != nil {
		return nil, err
	}
	bus, err := a.openBus(ctx, patience)
	if err != nil {
		return nil, err
	}
	a.studio, err = studio.New(studio.Config{
		Bus:        bus,
		Pool:       a.pool,
		Blobs:      a.storage,
		Servers:    servers,
		Instance:   uuid.New(),
		Sole:       a.postgres != nil, // the folder's lock says that no other instance is alive
		MaxWaiting: config.QuotaQueued,
		MaxRunning: config.QuotaRunning,
		Scratch:    config.scratch(),
		Logger:     a.logger,

		Webhook:         string(config.Webhook),
		PrivateWebhooks: config.PrivateWebhooks,
		WebhookSecret:   secret,
		WebhookAgent:    "Easel/" + config.Version,
		WebhookBody:     handlers.WebhookBody(config.BasePath),

		PushKey:     pushKey,
		PushContact: config.pushContact(),
		PushBody:    handlers.PushBody(config.BasePath),
	})
	if err != nil {
		return nil, fmt.Errorf("open the studio: %w", err)
	}
	metricsFrom, err := config.metricsNetworks()
	if err != nil {
		return nil, err
	}
	var schema int64
	if err := patience.try(ctx, func(ctx context.Context) (err error) {
		schema, _, err = db.SchemaVersion(ctx, a.pool)
		return err
	}); err != nil {
		return nil, err
	}
	a.site, err = handlers.New(handlers.Config{
		Studio:       a.studio,
		BasePath:     config.BasePath,
		BaseURL:      config.BaseURL,
		AllowedHosts: config.AllowedHosts,
		EmbedOrigins: config.EmbedAllowedOrigins,
		DatastarJS:   config.DatastarJS,
		MaxStreams:   config.MaxStreams,
		MetricsFrom:  metricsFrom,
		Version:      config.Version,
		Schema:       schema,
		InForce:      config.inForce(),
		Secret:       secret,
		Logger:       a.logger,
		Metrics:      metrics.New(a.studio.Overview, a.studio.Counters()),
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// complete gives a hand-made configuration its defaults.
func (c *Config) complete() error {
	defaults, err := Defaults()
	if err != nil {
		return err
	}
	c.Listen = cmp.Or(c.Listen, defaults.Listen)
	c.Auth = cmp.Or(c.Auth, defaults.Auth)
	c.LogFormat = cmp.Or(c.LogFormat, defaults.LogFormat)
	c.DataDir = cmp.Or(c.DataDir, defaults.DataDir)
	c.Storage = cmp.Or(c.Storage, defaults.Storage)
	c.Bus = cmp.Or(c.Bus, defaults.Bus)
	c.QuotaQueued = cmp.Or(c.QuotaQueued, defaults.QuotaQueued)
	if c.MetricsNetworks == nil {
		c.MetricsNetworks = defaults.MetricsNetworks
	}
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, defaults.ShutdownTimeout)
	c.Version = cmp.Or(c.Version, Version())
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c.check()
}

func (a *App) openDatabase(ctx context.Context, patience *patience) error {
	address := string(a.config.DatabaseURL)
	if address == "" {
		postgres, err := embedded.Start(ctx, embedded.Config{
			DataDir: a.config.DataDir,
			BinDir:  a.config.PGBin,
			User:    a.config.PGUser,
			Logger:  a.logger,
		})
		if err != nil {
			return fmt.Errorf("start the private Postgres: %w", err)
		}
		a.postgres, address = postgres, postgres.URL()
	}
	open := db.Open
	if a.config.Bus != busPostgres {
		open = db.OpenQuiet
	}
	if err := patience.try(ctx, func(ctx context.Context) (err error) {
		a.pool, err = open(ctx, address)
		return err
	}); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	if err := patience.try(ctx, func(ctx context.Context) error { return db.Migrate(ctx, a.pool) }); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	if err := patience.try(ctx, func(ctx context.Context) error { return studio.Migrate(ctx, a.pool) }); err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	return nil
}

// findServers is the configured list, else a ComfyUI in one of its usual places, else the demo,
// which nobody needs who has added a server on the page of servers.
func (a *App) findServers(ctx context.Context, patience *patience) ([]studio.ServerConfig, error) {
	configured, err := a.config.Servers()
	if err != nil {
		return nil, err
	}
	var added []string
	if err := patience.try(ctx, func(ctx context.Context) (err error) {
		added, err = studio.AddedServers(ctx, a.pool)
		return err
	}); err != nil {
		return nil, err
	}
	if len(configured) == 0 && !a.config.NoDemo {
		for _, usual := range []string{"http://127.0.0.1:8188", "http://127.0.0.1:8000"} {
			if !slices.Contains(added, usual) && answersAsComfyUI(ctx, usual) {
				configured = append(configured, Server{Name: "local", URL: usual})
				a.logger.InfoContext(ctx, "found a ComfyUI", "url", usual)
				break
			}
		}
	}
	servers := make([]studio.ServerConfig, 0, len(configured)+1)
	for _, server := range configured {
		servers = append(servers, studio.ServerConfig{Name: server.Name, URL: server.URL})
	}
	if len(servers) > 0 || len(added) > 0 || a.config.NoDemo {
		return servers, nil
	}
	a.demo, err = simulator.Start("127.0.0.1:0", simulator.Config{
		Pace:             simulator.DemoPace(),
		FixedSocketTable: true, // no need to show that flaw to people
	})
	if err != nil {
		return nil, fmt.Errorf("start the demo server: %w", err)
	}
	return append(servers, studio.ServerConfig{Name: "demo", URL: a.demo.URL(), Demo: true}), nil
}

// answersAsComfyUI asks for /system_stats; a second is plenty on this machine.
func answersAsComfyUI(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client, err := comfy.NewClient(address, comfy.ClientOptions{})
	if err != nil {
		return false
	}
	_, err = client.SystemStats(ctx)
	return err == nil
}

// Handler is the whole site. It expects requests with the base path in front.
func (a *App) Handler() http.Handler { return a.site }

// ConnContext is for http.Server.ConnContext: with it open streams cost little, see handlers.Server.
func (a *App) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return a.site.ConnContext(ctx, c)
}

// Check looks at the process itself, for a watchdog: the locks that everything goes through can be had, and the
// private Postgres answers. A database of DatabaseURL that is away is no fault of the process.
func (a *App) Check(ctx context.Context) error {
	if err := a.studio.Turning(ctx); err != nil {
		return err
	}
	if a.postgres == nil {
		return nil
	}
	return a.studio.Ready(ctx)
}

// Run does the work until ctx ends: it follows the servers, submits, finishes, and keeps the
// pages live. When ctx ends, open streams are cut (browsers come back by themselves), what runs
// in ComfyUI goes on there, and Run returns when every goroutine has. An error means that Easel
// cannot go on, such as a private database that died.
func (a *App) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.studio.Run(ctx) })
	group.Go(func() error { return a.site.Run(ctx) })
	if a.postgres != nil {
		group.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-a.postgres.Done():
				return errors.New("the private Postgres ended by itself; its log is in " + filepath.Join(a.config.DataDir, "pg"))
			}
		})
	}
	return group.Wait()
}

// Close ends what New opened, the private Postgres last. Call it after Run and the HTTP server
// have returned.
func (a *App) Close() error {
	var errs []error
	if a.demo != nil {
		a.demo.Close()
	}
	if a.storage != nil {
		errs = append(errs, a.storage.Close())
	}
	if a.pool != nil {
		a.pool.Close()
	}
	if a.postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, a.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}

// Summary says in one line what is in force, for whoever started the program.
func (a *App) Summary() string {
	database := "your Postgres"
	if a.postgres != nil {
		database = "private Postgres in " + a.config.DataDir
	}
	var server string
	switch configured, _ := a.config.Servers(); { // New has read it without an error
	case a.demo != nil:
		server = "the built-in demo server (set COMFYUI_URL to connect a real ComfyUI)"
	case len(configured) == 1:
		server = "ComfyUI at " + Secret(configured[0].URL).String()
	case len(configured) > 1:
		server = fmt.Sprintf("%d ComfyUI servers", len(configured))
	case a.config.NoDemo:
		server = "no ComfyUI"
	default:
		server = "a ComfyUI found on this machine"
	}
	return fmt.Sprintf("single user, %s, %s", database, server)
}

// inForce is the configuration as the settings page shows it.
func (c *Config) inForce() []views.InForce {
	settings := c.settings()
	shown := make([]views.InForce, len(settings))
	for i, s := range settings {
		shown[i] = views.InForce{Name: s.Name, Value: s.Value, Source: s.Source}
	}
	return shown
}
