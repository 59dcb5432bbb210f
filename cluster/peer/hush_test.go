package peer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// TestHush: a leader whose disk hangs says nothing, in that term, for that long.
func TestHush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{quiet: hushed{clock: clock.System()}}
		said := func(term uint64) bool { return !tr.quiet.silent(term) }
		if !said(3) {
			t.Error("silent without a reason")
		}
		tr.Hush(3, time.Minute)
		if said(3) || said(2) {
			t.Error("a leader whose disk hangs speaks")
		}
		if !said(4) {
			t.Error("a leader that was elected again is silent")
		}
		time.Sleep(time.Minute)
		if !said(3) {
			t.Error("silent for longer than it was told to")
		}
	})
}

// TestHushedAsksNobody: a leader that is hushed and asked whether it leads does not try again and
// again to say something.
func TestHushedAsksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, inner := raft.NewInmemTransport("")
		tr := New(memory{InmemTransport: inner}, clock.System(), hclog.NewNullLogger(), func() {})
		header := raft.AppendEntriesRequest{Term: 3}
		tr.witness.sending("s2", &header)(&raft.AppendEntriesResponse{Term: 3}, nil)
		tr.Hush(3, time.Minute)
		q := tr.Ask(3, []raft.Server{{ID: "s2", Address: "nowhere"}}, 1)
		defer tr.Forget(q)
		wantOpen(t, q)
		tr.witness.mu.Lock()
		if p := tr.witness.peerLocked("s2"); !p.lost || p.busy {
			t.Errorf("it has not given up: %+v", *p)
		}
		tr.witness.mu.Unlock()
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
}
