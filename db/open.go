package db

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// MinVersion is the oldest major version of Postgres that Easel runs on.
const MinVersion = 15

// AcquireTimeout is how long anybody waits for a free connection of an Open pool; after it, Unavailable
// is true of the error.
const AcquireTimeout = 3 * time.Second

const (
	// maxConns leaves two instances and a psql room in the 50 connections of the private Postgres.
	maxConns       = 20
	connectTimeout = 5 * time.Second
	startupWait    = 250 * time.Millisecond // between two tries while the server starts

	// A statement of ours takes milliseconds. One that takes this long is cut by the server, so
	// that a connection comes back even when the client that asked is gone.
	statementTimeout = 30 * time.Second
	// A transaction of ours waits for nothing but Postgres.
	idleInTransactionTimeout = 60 * time.Second
)

// Open connects a pool to databaseURL, a URL (postgres://...) or libpq's keywords (host=...), and
// has had one answer from the server when it returns. The caller closes the pool.
//
// A server that says it is still starting is asked again until ctx ends; anything else that is
// wrong returns at once. No error holds the password. What the URL sets itself
// (pool_max_conns, connect_timeout, application_name, statement_timeout) wins over our defaults.
func Open(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, nil)
}

// OpenQuiet is Open for a process that tells others of its changes by another way: on its connections
// the function ring leaves events and rings no bell, which would take a lock of the whole server at each commit.
func OpenQuiet(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, map[string]string{"easel.notify": "off"})
}

func open(ctx context.Context, databaseURL string, settings map[string]string) (*pgxpool.Pool, error) {
	config, err := poolConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	maps.Copy(config.ConnConfig.RuntimeParams, settings)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := firstAnswer(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	return pool, nil
}

// firstAnswer pings until the server no longer says that it is starting up.
func firstAnswer(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		err := pool.Ping(ctx)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != codeCannotConnectNow {
			return err
		}
		select {
		case <-ctx.Done():
			return err // the server's word says more than the context's
		case <-time.After(startupWait):
		}
	}
}

func poolConfig(databaseURL string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		// pgx masks passwords as well as it can, but a URL that cannot be parsed can be cut in
		// the wrong place; so nothing of it is repeated.
		return nil, errors.New("open database: the database URL cannot be read; it looks like " +
			"postgres://user:password@host:5432/name, with special characters in the password percent-encoded")
	}
	if !mentions(databaseURL, "pool_max_conns") {
		config.MaxConns = maxConns
	}
	if !mentions(databaseURL, "pool_max_conn_idle_time") {
		config.MaxConnIdleTime = 5 * time.Minute
	}
	if !mentions(databaseURL, "pool_max_conn_lifetime_jitter") {
		config.MaxConnLifetimeJitter = 5 * time.Minute
	}
	config.ConnConfig.Tracer = patience{}
	config.PingTimeout = connectTimeout // a connection that died silently is found when it is taken out
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	setDefault(config.ConnConfig, "application_name", "easel")
	setDefault(config.ConnConfig, "statement_timeout", milliseconds(statementTimeout))
	setDefault(config.ConnConfig, "idle_in_transaction_session_timeout", milliseconds(idleInTransactionTimeout))
	config.ConnConfig.ValidateConnect = both(config.ConnConfig.ValidateConnect, checkVersion)
	return config, nil
}

// mentions reports whether the caller set key in databaseURL, which pgxpool does not tell.
func mentions(databaseURL, key string) bool {
	if u, err := url.Parse(databaseURL); err == nil && u.Scheme != "" {
		return u.Query().Has(key)
	}
	return strings.Contains(databaseURL, key)
}

func setDefault(config *pgx.ConnConfig, name, value string) {
	if _, set := config.RuntimeParams[name]; !set {
		config.RuntimeParams[name] = value
	}
}

// milliseconds is the unit that Postgres takes for a bare number.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}

func both(first, second pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	if first == nil {
		return second
	}
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := first(ctx, conn); err != nil {
			return err
		}
		return second(ctx, conn)
	}
}

// checkVersion refuses a server that is too old, from what it said in the handshake: no query.
func checkVersion(_ context.Context, conn *pgconn.PgConn) error {
	version := conn.ParameterStatus("server_version")
	if major := majorVersion(version); major < MinVersion {
		return fmt.Errorf("this is Postgres %s, Easel needs Postgres %d or newer", version, MinVersion)
	}
	return nil
}

// majorVersion reads "15.18 (Debian 15.18-0+deb12u1)", "18beta1" and "9.6.2" as 15, 18 and 9;
// what has no number is 0.
func majorVersion(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	major, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return major
}
