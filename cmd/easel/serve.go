package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"easel"
)

func serve(cmd *cobra.Command, _ []string) (err error) {
	config, _, err := load(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	config.Logger = newLogger(config)
	slog.SetDefault(config.Logger)

	// The port first: a second Easel must not touch the first one's data.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w (PORT or EASEL_LISTEN chooses another address)", err)
	}
	defer listener.Close()

	app, err := easel.New(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close()) }()

	server := &http.Server{
		Handler:           app.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
		ConnContext:       app.ConnContext,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	address := "http://" + reachable(listener.Addr()) + config.BasePath
	fmt.Fprintf(cmd.ErrOrStderr(), "Easel %s is at %s/ (%s)\n", easel.Version(), address, app.Summary())

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return app.Run(ctx) })
	group.Go(func() error {
		return feedWatchdog(ctx, func(ctx context.Context) error {
			return errors.Join(answersItself(ctx, address), app.Check(ctx))
		}, config.Logger)
	})
	announce(daemon.SdNotifyReady, config.Logger) // the listener takes connections already
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		config.Logger.InfoContext(ctx, "stopping")
		announce(daemon.SdNotifyStopping, config.Logger)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), config.ShutdownTimeout)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			return errors.Join(server.Close(), fmt.Errorf("stop: %w", err))
		}
		return nil
	})
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// reachable is addr as one types it: the unspecified address answers on localhost too.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func newLogger(config easel.Config) *slog.Logger {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	if config.LogFormat == "json" || (config.LogFormat == "auto" && !terminal) {
		return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: config.LogLevel}))
	}
	return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{
		Level:      config.LogLevel,
		TimeFormat: time.TimeOnly,
		NoColor:    !terminal || os.Getenv("NO_COLOR") != "",
	}))
}
