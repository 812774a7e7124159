package easel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"easel/db"
	"easel/studio"
	"easel/studio/natsbus"
	"easel/studio/redisbus"
)

// BusAddress says by what the instances of an installation tell each other of changes: postgres, memory, or
// the URL of a Redis or a NATS, whose password is not shown.
type BusAddress string

// The buses without an address.
const (
	busPostgres = "postgres"
	busMemory   = "memory"
)

// busSchemes are the schemes of the others.
var busSchemes = []string{"redis", "rediss", "nats", "tls"}

// String gives the address, of a NATS perhaps several, without user and password.
func (b BusAddress) String() string {
	if b == busPostgres || b == busMemory || b == "" {
		return string(b)
	}
	if whole := Secret(b).String(); whole != hidden { // a comma may also stand in a password
		return whole
	}
	var shown []string
	for address := range strings.SplitSeq(string(b), ",") {
		shown = append(shown, Secret(address).String())
	}
	return strings.Join(shown, ",")
}

// LogValue keeps the password out of logs.
func (b BusAddress) LogValue() slog.Value { return slog.StringValue(b.String()) }

// MarshalText keeps the password out of whatever encodes text.
func (b BusAddress) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// check says what cannot be, and what may have been meant.
func (b BusAddress) check(ownDatabase bool) error {
	switch b {
	case busPostgres:
		return nil
	case busMemory:
		if !ownDatabase {
			return errors.New("EASEL_BUS: memory reaches no other instance; with DATABASE_URL use postgres, redis://host or nats://host")
		}
		return nil
	}
	scheme, rest, isURL := strings.Cut(string(b), "://")
	if !isURL {
		return fmt.Errorf("EASEL_BUS: it is not postgres, memory or a URL; %s", nearBus(scheme, []string{busPostgres, busMemory}, ""))
	}
	for _, known := range busSchemes {
		if scheme == known {
			if u, err := url.Parse(string(b)); err != nil || u.Host == "" {
				return fmt.Errorf("EASEL_BUS: the URL names no host; it looks like %s://host:port", scheme)
			}
			return nil
		}
	}
	if scheme == "postgresql" || scheme == busPostgres {
		return errors.New("EASEL_BUS: the word postgres is enough, it is the database of DATABASE_URL")
	}
	if rest == "" || strings.ContainsAny(scheme, "@:/ ") {
		scheme = "" // perhaps a password
	}
	return fmt.Errorf("EASEL_BUS: its scheme is none of redis, rediss, nats and tls; %s", nearBus(scheme, busSchemes, "://..."))
}

// nearBus is the word that was meant, or all there are.
func nearBus(word string, known []string, suffix string) string {
	best, distance := "", 3
	for _, candidate := range known {
		if d := editDistance(word, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return "see docs/configuration.md"
	}
	return fmt.Sprintf("did you mean %s%s?", best, suffix)
}

// openBus makes the bus; nil is the database's own. The name of the installation keeps those apart that share
// a server.
func (a *App) openBus(ctx context.Context, patience *patience) (studio.Bus, error) {
	address := a.config.Bus
	if address == busPostgres {
		return nil, nil //nolint:nilnil // the studio's default
	}
	if address == busMemory {
		return new(studio.MemoryNet).NewBus(), nil
	}
	queries := db.New(a.pool)
	var installation string
	if err := patience.try(ctx, func(ctx context.Context) (err error) {
		installation, err = queries.Installation(ctx)
		if err == nil && installation == "" { // another instance was making it
			installation, err = queries.Installation(ctx)
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("read the name of the installation: %w", err)
	}
	return address.open(installation, a.logger)
}

// ProbeBus makes a bus on a Redis or a NATS that nobody else is on, to see whether it works; nil where EASEL_BUS
// names neither.
func (c *Config) ProbeBus(name string) (studio.Bus, error) {
	if c.Bus == busPostgres || c.Bus == busMemory {
		return nil, nil //nolint:nilnil // nothing to probe
	}
	return c.Bus.open(name, slog.New(slog.DiscardHandler))
}

// open makes the bus of an address with a scheme; what is said there stays within the name.
func (b BusAddress) open(name string, logger *slog.Logger) (studio.Bus, error) {
	if strings.HasPrefix(string(b), "redis") {
		return redisbus.New(string(b), "easel:"+name, logger)
	}
	return natsbus.New(string(b), "easel."+name, logger)
}
