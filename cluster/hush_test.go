package cluster

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
		tr := &transport{quiet: hushed{clock: clock.System()}}
		said := func(term uint64) bool { return !tr.quiet.silent(term) }
		if !said(3) {
			t.Error("silent without a reason")
		}
		tr.hush(3, stallHush)
		if said(3) || said(2) {
			t.Error("a leader whose disk hangs speaks")
		}
		if !said(4) {
			t.Error("a leader that was elected again is silent")
		}
		time.Sleep(stallHush)
		if !said(3) {
			t.Error("silent for longer than it was told to")
		}
	})
}

// TestHushedAsksNobody: a leader that is hushed and asked whether it leads does not try again and
// again to say something.
func TestHushedAsksNobody(t *testing.T) {
	t.Parallel()
	_, inner := raft.NewInmemTransport("")
	tr := newTransport(memoryLink{InmemTransport: inner}, clock.System(), newUnreached(hclog.NewNullLogger(), clock.System()))
	defer closeQuietly(tr)
	header := raft.AppendEntriesRequest{Term: 3}
	tr.witness.sending("s2", &header)(&raft.AppendEntriesResponse{Term: 3}, nil)
	tr.hush(3, time.Minute)
	q := tr.witness.ask(3, []raft.Server{{ID: "s2", Address: "nowhere"}}, 1)
	defer tr.witness.forget(q)
	eventually(t, "it gives up", func() bool {
		tr.witness.mu.Lock()
		defer tr.witness.mu.Unlock()
		p := tr.witness.peerLocked("s2")
		return p.lost && !p.busy
	})
	select {
	case err := <-q.done:
		t.Errorf("answered with %v", err)
	default:
	}
}
