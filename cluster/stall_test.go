package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/fsm"
)

// stallLog is a log whose writes can be made to hang, and that tells of it as store.Log does.
type stallLog struct {
	raft.LogStore
	told func(time.Duration)
	hung atomic.Pointer[chan struct{}] // closed when writes go on
	held atomic.Bool                   // a write has begun to hang
}

// StoreLogs hangs while it must.
func (l *stallLog) StoreLogs(entries []*raft.Log) error {
	if on := l.hung.Load(); on != nil {
		l.held.Store(true)
		began := time.Now()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for waiting := true; waiting; {
			select {
			case <-*on:
				waiting = false
			case <-tick.C:
				// The clock of this disk runs fast: nobody wants to wait for a real one. It stops
				// before the node must end.
				l.told(min(10*time.Since(began), stallStop-1))
			}
		}
	}
	return l.LogStore.StoreLogs(entries)
}

// StoreLog stores one.
func (l *stallLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// IsMonotonic is what the log below says.
func (*stallLog) IsMonotonic() bool { return true }

// TestDiskStall: a leader whose disk hangs has heartbeats that need no disk. The others elect
// another one all the same, and go on; when the disk comes back, it follows.
func TestDiskStall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	old := r.leader()
	on := make(chan struct{})
	release := sync.OnceFunc(func() {
		old.log.Load().hung.Store(nil)
		close(on)
	})
	t.Cleanup(release)
	began := time.Now()
	old.log.Load().hung.Store(&on)
	// Something must be written for the disk to hang at: nobody hears of it.
	wrote := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { wrote <- old.node.raft.Apply([]byte("never"), time.Second).Error() }()
	var next *seat
	eventually(t, "another leader", func() bool {
		for _, s := range r.others(old) {
			if s.node.Leads() {
				next = s
				return true
			}
		}
		return false
	})
	t.Logf("another leader %s after the disk hung", time.Since(began).Round(time.Millisecond))
	if _, err := next.node.Barrier(ctx, fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}}); err != nil {
		t.Error(err)
	}
	// Whoever asks the old one is sent on, though its raft knows nothing yet.
	url, self, err := old.node.Locate(ctx)
	if at := r.leader().node.cfg.URL; err != nil || self || url != at {
		t.Errorf("the leader is located at %q (here: %t), %v, and not at %q", url, self, err, at)
	}
	if role := old.node.raft.State(); role != raft.Leader {
		t.Logf("the old leader is a %s already", role) // its disk was not asked for anything
	}
	release()
	if err := <-wrote; err == nil {
		t.Error("what the hung disk was given is acknowledged")
	}
	eventually(t, "the old leader follows", func() bool {
		return old.node.raft.State() == raft.Follower && old.node.Leader() == r.leader().name
	})
	r.write("b")
	r.wantRead("a b")
	select {
	case <-old.node.Failed():
		t.Errorf("it stopped: %v", old.node.Failure())
	default:
	}
}

// TestDiskHangs: a disk that does not come back ends the node.
func TestDiskHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	s := r.others(r.leader())[0]
	s.node.stalled(stallStop - 1)
	select {
	case <-s.node.Failed():
		t.Errorf("too early: %v", s.node.Failure())
	default:
	}
	s.node.stalled(stallStop)
	select {
	case <-s.node.Failed():
	default:
		t.Error("it goes on")
	}
}

// TestStallAtTheStart: a disk can hang while it is opened, before there is a raft to ask.
func TestStallAtTheStart(t *testing.T) {
	t.Parallel()
	n := &Node{}
	n.stalled(stallGiveAway)
	if n.handed.Load() {
		t.Error("gave away what it never had")
	}
}

// TestStallThatIsOver: a leader that hears of a stall when it is over leads on, and one that is
// alone does not fall silent for nobody.
func TestStallThatIsOver(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, 1)
	r.write("a")
	l := r.leader()
	l.node.stalled(stallGiveAway)
	if !l.node.Leads() {
		t.Error("it gave up the lead, and there is nobody else")
	}
	term := l.node.leadership.passed.Load()
	l.node.hung <- struct{}{}
	eventually(t, "its role begins again", func() bool { return len(l.node.hung) == 0 && l.node.Leads() })
	r.write("b")
	if now := l.node.leadership.passed.Load(); now != term {
		t.Errorf("term %d after %d", now, term)
	}
}
