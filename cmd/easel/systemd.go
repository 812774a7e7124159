package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// announce tells systemd, if it started us (Type=notify), how far we are.
func announce(state string, logger *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("could not tell systemd", "state", state, "err", err)
	}
}

// feedWatchdog tells systemd that all is well, for as long as check says so: a process that only seems to live is
// then restarted. It returns at once when systemd does not wait for that.
func feedWatchdog(ctx context.Context, check func(context.Context) error, logger *slog.Logger) error {
	patience, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if patience == 0 {
		return nil
	}
	tick := time.NewTicker(patience / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, patience/3)
		err := check(within)
		cancel()
		switch {
		case err == nil:
			announce(daemon.SdNotifyWatchdog, logger)
		case ctx.Err() == nil:
			logger.Error("not well, and the watchdog is not told otherwise", "err", err)
		}
	}
}

// answersItself asks this process over its own port.
func answersItself(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask ourselves: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask ourselves: %s", response.Status)
	}
	return nil
}
