package db_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"easel/db"
	"easel/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// Connections of the pool have our limits, unless the URL says otherwise.
func TestOpenSettings(t *testing.T) {
	t.Parallel()
	address := dbtest.URL(t, dbtest.Empty())
	for name, test := range map[string]struct {
		extra    url.Values
		settings map[string]string
		maxConns int32
	}{
		"ours": {nil, map[string]string{
			"application_name": "easel", "statement_timeout": "30s", "idle_in_transaction_session_timeout": "1min",
		}, 20},
		"the URL's": {url.Values{"application_name": {"mine"}, "statement_timeout": {"1000"}, "pool_max_conns": {"3"}}, map[string]string{
			"application_name": "mine", "statement_timeout": "1s",
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			pool, err := db.Open(t.Context(), with(t, address, test.extra))
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if got := pool.Config().MaxConns; got != test.maxConns {
				t.Errorf("at most %d connections, want %d", got, test.maxConns)
			}
			for setting, want := range test.settings {
				var got string
				if err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
					t.Errorf("%s = %q, %v, want %q", setting, got, err, want)
				}
			}
		})
	}
}

// with adds to the query of a URL.
func with(t *testing.T, address string, extra url.Values) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	maps.Copy(query, extra)
	u.RawQuery = query.Encode()
	return u.String()
}

// No error repeats a password, also when the URL is broken in a way that hides where it is.
func TestOpenHidesPassword(t *testing.T) {
	t.Parallel()
	const secret = "hunter2secret"
	for _, address := range []string{
		"postgres://easel:" + secret + "@127.0.0.1:1/easel",
		"host=127.0.0.1 port=1 user=easel password=" + secret,
		"postgres://easel:" + secret + "@127.0.0.1:port/easel",
		"postgres://easel:pass@" + secret + "@127.0.0.1:1/%zz",
		"postgres:/easel:" + secret + "@",
		secret,
		"host=/nowhere password='" + secret,
		"postgres://easel:" + secret + "@127.0.0.1:1/easel?sslmode=perhaps",
	} {
		_, err := db.Open(t.Context(), address)
		if err == nil {
			t.Errorf("Open(%s) succeeded", address)
			continue
		}
		if text := fmt.Sprintf("%v %+v %s", err, err, err.Error()); strings.Contains(text, secret) {
			t.Errorf("Open(%s) says %q", address, text)
		}
	}
}

// A server that is starting is waited for, one that is too old is named, and one that is not
// there is said so at once. The server here speaks just enough of the protocol.
func TestOpenStartingAndOld(t *testing.T) {
	t.Parallel()
	starting := fakeServer(t, func(nth int, conn *pgproto3.Backend) {
		if nth <= 2 {
			conn.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"})
			return
		}
		greet(conn, "18.1")
	})
	pool, err := db.Open(t.Context(), starting)
	if err != nil {
		t.Fatalf("Open a server that is starting: %v", err)
	}
	pool.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	stays := fakeServer(t, func(_ int, conn *pgproto3.Backend) {
		conn.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"})
	})
	if _, err := db.Open(ctx, stays); err == nil || !strings.Contains(err.Error(), "starting up") || !db.Unavailable(err) {
		t.Errorf("Open a server that stays so: %v, want its word", err)
	}

	old := fakeServer(t, func(_ int, conn *pgproto3.Backend) { greet(conn, "14.9 (Debian 14.9-1)") })
	if _, err := db.Open(t.Context(), old); err == nil || !strings.Contains(err.Error(), "this is Postgres 14.9 (Debian 14.9-1), Easel needs Postgres 15 or newer") {
		t.Errorf("Open an old server: %v, want both versions", err)
	}

	if _, err := db.Open(t.Context(), "postgres://easel@127.0.0.1:1/easel"); !db.Unavailable(err) {
		t.Errorf("Open without a server: %v, want one that Unavailable knows", err)
	}
}

func greet(conn *pgproto3.Backend, version string) {
	conn.Send(&pgproto3.AuthenticationOk{})
	conn.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: version})
	conn.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
}

// fakeServer answers each connection with answer, which is told its number from 1, and then every
// query with nothing.
func fakeServer(t *testing.T, answer func(nth int, conn *pgproto3.Backend)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for nth := 1; ; nth++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				answer(nth, backend)
				for backend.Flush() == nil {
					if _, err := backend.Receive(); err != nil {
						break
					}
					backend.Send(&pgproto3.EmptyQueryResponse{})
					backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return fmt.Sprintf("postgres://easel@%s/easel?sslmode=disable", listener.Addr())
}

func TestMajorVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"15.18 (Debian 15.18-0+deb12u1)": 15, "18beta1": 18, "9.6.2": 9, "17": 17, "": 0, "new": 0} {
		if got := db.MajorVersion(version); got != want {
			t.Errorf("majorVersion(%q) = %d, want %d", version, got, want)
		}
	}
}

func TestOne(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	find := func(n int) (int, error) {
		var found int
		return found, pool.QueryRow(t.Context(), "SELECT 1 WHERE $1 = 1", n).Scan(&found)
	}
	if row, err := db.One(find(1)); err != nil {
		t.Errorf("One = %d, %v", row, err)
	}
	if _, err := db.One(find(2)); !errors.Is(err, db.ErrNotFound) || errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("One without a row: %v, want ErrNotFound", err)
	}
	if _, err := db.One(0, context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("One passes on %v, want the cause", err)
	}
}

// What a database that is in trouble says is told from what a wrong statement gets.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	_, wrong := pool.Exec(t.Context(), "SELECT nonsense")
	_, slow := pool.Exec(t.Context(), "SET statement_timeout = 1; SELECT pg_sleep(10)")
	hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, late := pool.Exec(hasty, "SELECT pg_sleep(10)")
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, left := pool.Exec(gone, "SELECT 1")
	_, cut := pool.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":         {nil, false},
		"wrong statement": {wrong, false},
		"cut by timeout":  {slow, false}, // the statement is at fault, not the server
		"deadline":        {late, true},
		"visitor left":    {left, false},
		"connection cut":  {cut, true},
		"disk full":       {fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: "53100"}), true},
		"too many":        {&pgconn.PgError{Code: "53300"}, true},
		"standby":         {&pgconn.PgError{Code: "25006"}, true},
		"deadlock":        {&pgconn.PgError{Code: "40P01"}, true},
		"duplicate":       {&pgconn.PgError{Code: "23505"}, false},
	} {
		if got := db.Unavailable(test.err); got != test.want {
			t.Errorf("%s: Unavailable(%v) = %t, want %t", name, test.err, got, test.want)
		}
	}
}

// A request that finds the pool empty waits as long as its context, and gets what a 503 is made of.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	pool, err := db.Open(t.Context(), with(t, dbtest.URL(t, dbtest.Empty()), url.Values{"pool_max_conns": {"1"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	only, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer only.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := pool.Exec(ctx, "SELECT 1"); !db.Unavailable(err) {
		t.Errorf("no connection left: %v, want one that Unavailable knows", err)
	}
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t, dbtest.Empty())
	_, err := pool.Exec(t.Context(), "CREATE TABLE marks (name text CONSTRAINT one_name UNIQUE); INSERT INTO marks VALUES ('a'), ('a')")
	if !db.Duplicate(err, "one_name") || db.Duplicate(err, "another") || db.Duplicate(errors.New("one_name"), "one_name") {
		t.Errorf("Duplicate does not know %v", err)
	}
}
