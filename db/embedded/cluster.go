//go:build unix

package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// passwordFile lies within the data, so that both are made in one step and move together.
	passwordFile = "easel.password"
	// initPrefix marks the folders in which a cluster is being made. They hold no data of anybody.
	initPrefix = "init-"
)

// prepareCluster finds binaries that fit the data, makes the data if there are none, and reads
// the password.
func (s *Server) prepareCluster(ctx context.Context) error {
	major, err := majorOf(s.folder.data)
	if err != nil {
		return err
	}
	if s.binaries, err = findBinaries(s.config.BinDir, major); err != nil {
		return err
	}
	if err := s.account.checkReach(s.binaries.postgres(), s.folder.pg); err != nil {
		return err
	}
	if major == 0 {
		if err := s.initialise(ctx); err != nil {
			return fmt.Errorf("make the database: %w", err)
		}
	}
	password, err := os.ReadFile(filepath.Join(s.folder.data, passwordFile))
	if err != nil {
		return fmt.Errorf("read the database's password: %w; docs/database.md says how to set a new one", err)
	}
	s.password = strings.TrimSpace(string(password))
	return nil
}

// initialise makes the cluster in a folder of its own and then renames that: a crash in the
// middle leaves no half data folder, and the next start begins again.
func (s *Server) initialise(ctx context.Context) error {
	begin := time.Now()
	if err := s.sweepInits(ctx); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(s.folder.pg, initPrefix)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // the data have left it, or were not finished
	data, password := filepath.Join(temp, "data"), filepath.Join(temp, passwordFile)
	// Text of 26 letters and digits, 128 bits: no character in it needs quoting anywhere.
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	if err := errors.Join(s.account.give(password), s.account.give(temp)); err != nil {
		return err
	}
	if err := s.runInitdb(ctx, data, password); err != nil {
		return err
	}
	if err := os.Rename(password, filepath.Join(data, passwordFile)); err != nil {
		return err
	}
	if err := errors.Join(syncPath(filepath.Join(data, passwordFile)), syncPath(data)); err != nil {
		return err
	}
	if err := os.Rename(data, s.folder.data); err != nil { // refused by the system unless missing or empty
		return err
	}
	s.config.Logger.Info("private Postgres made", "folder", s.folder.data, "version", s.binaries.full,
		"account", s.account.name, "took", time.Since(begin).Round(time.Millisecond))
	return syncPath(s.folder.pg)
}

// sweepInits removes what an initialise left that died. Under the lock there is no other, and a
// folder that was renamed has another name. The dead one's initdb is told to end by the kernel, but
// may still be at it, so this tries for a while; and then says what is in the way.
func (s *Server) sweepInits(ctx context.Context) error {
	w := s.newWait()
	for {
		left, err := filepath.Glob(filepath.Join(s.folder.pg, initPrefix+"*"))
		if err != nil {
			return err
		}
		var errs []error
		for _, dir := range left {
			errs = append(errs, os.RemoveAll(dir))
		}
		err = errors.Join(errs...)
		if err == nil {
			return nil
		}
		if err := w.pause(ctx, patient, "an earlier initdb to end", err.Error()); err != nil {
			return err
		}
	}
}

// runInitdb takes 1 to 3 s. The thread that starts it stays until its end: see launch.
func (s *Server) runInitdb(ctx context.Context, data, password string) error {
	args := []string{
		"--pgdata=" + data, "--username=" + role, "--pwfile=" + password, "--auth=scram-sha-256",
		"--data-checksums", "--encoding=UTF8", "--locale=" + locale(), "--no-instructions",
	}
	if s.config.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	cmd := s.account.command("/", s.binaries.initdb(), args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread may end with this goroutine, its child has
		if err := cmd.Start(); err != nil {
			done <- err
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = signal(cmd.Process.Pid, syscall.SIGTERM) })
		defer stop()
		done <- cmd.Wait()
	}()
	if err := <-done; err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(output.Bytes())))
	}
	return nil
}

// locale sorts by code point, everywhere the same, and knows letters beyond ASCII. macOS got
// C.UTF-8 late.
func locale() string {
	if runtime.GOOS == "darwin" {
		return "C"
	}
	return "C.UTF-8"
}

func syncPath(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// createDatabase makes our database in a new cluster.
func (s *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&there); err != nil || there {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	return err
}

// answers asks the server whether it is the one with our data, and up.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var data string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&data); err != nil {
		return err
	}
	if same, err := sameFolder(data, s.folder.data); err != nil || !same {
		return errors.Join(err, fmt.Errorf("the server on %s has its data in %s", s.sockets, data))
	}
	return nil
}

func sameFolder(a, b string) (bool, error) {
	statA, err := os.Stat(a)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	statB, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	return os.SameFile(statA, statB), nil
}
