package comfy

import (
	"testing"
	"time"
)

// TestSilentSocketAfterReconnect is the trap of ComfyUI's table of clients: a connection that is open, greeted,
// answers pings, and is deaf. It shows by the answer to feature_flags that does not come.
func TestSilentSocketAfterReconnect(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{FlagsWait: 30 * time.Millisecond, PingEvery: 5 * time.Millisecond})
	first := s.open()
	first.greet(t)
	a.next(t, TypeStatus)
	a.next(t, TypeFeatureFlags)
	first.cut()

	deaf := s.open()
	deaf.say(t, greeting) // it gets that, and nothing after it; its pings are answered by s
	a.next(t, TypeStatus)

	third := s.open()
	if n := a.Stats().Unanswered; n != 1 {
		t.Errorf("%d connections given up for their silence, want 1", n)
	}
	third.greet(t)
	a.next(t, TypeStatus)
	a.next(t, TypeFeatureFlags)
	third.say(t, stepOne)
	a.next(t, TypeProgress)
}

// stays waits for so many pings on one connection and checks that it is still the only one.
func stays(t *testing.T, a *socketRun, c *stageConn, connects uint64) {
	t.Helper()
	for range 40 {
		await(t, "a ping", c.pings)
	}
	if st := a.Stats(); st.Connects != connects || !st.Connected {
		t.Errorf("stats %+v, want connection %d to live on", st, connects)
	}
}

func TestAnOldServerThatKnowsNoFlagsIsLeftAlone(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{FlagsWait: time.Millisecond, PingEvery: time.Millisecond})
	conn := s.open()
	conn.say(t, greeting)
	stays(t, a, conn, 1) // forty times the wait for the answer
}

func TestEventsSpeakForAConnectionWithoutFlags(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{FlagsWait: 100 * time.Millisecond, PingEvery: 5 * time.Millisecond})
	first := s.open()
	first.greet(t)
	a.next(t, TypeStatus)
	a.next(t, TypeFeatureFlags)
	first.cut()
	second := s.open()
	second.say(t, greeting)
	second.say(t, status1)
	stays(t, a, second, 2) // twice the wait for the answer
}

func TestTheAnswerIsDemandedThreeTimesOnly(t *testing.T) {
	s := newStage(t)
	a := runSocket(t, s, SocketConfig{FlagsWait: 5 * time.Millisecond, PingEvery: time.Millisecond})
	first := s.open()
	first.greet(t)
	a.next(t, TypeStatus)
	a.next(t, TypeFeatureFlags)
	first.cut()
	for range unansweredLimit {
		s.open().say(t, greeting)
	}
	last := s.open() // the server was replaced by an old one, it seems
	last.say(t, greeting)
	stays(t, a, last, 2+unansweredLimit)
}
