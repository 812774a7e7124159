package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// A closed terminal stops the program as SIGTERM does, and not at once: the hangup may come twice.
func TestHangupStops(t *testing.T) {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // also where the tests themselves run under nohup
	defer signal.Stop(heard)
	ctx, stop := untilSignal(t.Context())
	defer stop()
	for range 2 {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
	}
}

// nohup starts a program with SIGHUP ignored, and it stays so.
func TestHangupUnderNohup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx, stop := untilSignal(t.Context())
	defer stop()
	if !signal.Ignored(syscall.SIGHUP) {
		t.Error("SIGHUP is heard although whoever started the program had it ignored")
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
