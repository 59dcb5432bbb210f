package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// gagged is a link whose appends to some members are lost while it is on.
type gagged struct {
	Link
	on  atomic.Bool
	let raft.ServerID // whom it lets through
}

// AppendEntries says that it was lost.
func (g *gagged) AppendEntries(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if g.on.Load() && id != g.let {
		return context.DeadlineExceeded
	}
	return g.Link.AppendEntries(id, at, args, resp)
}

// TestSpareConfirmsNothing: a leader hears a member without a vote, and no voter: it serves no read.
func TestSpareConfirmsNothing(t *testing.T) {
	t.Parallel()
	var links sync.Map // *gagged by name
	r := newRigOf(t, 3, func(c *Config) {
		open, name := c.Link, c.Node
		c.Link = func() (Link, error) {
			l, err := open()
			g := &gagged{Link: l, let: "s4"}
			links.Store(name, g)
			return g, err
		}
	})
	r.write("a")
	r.seat("s4").open()
	r.wantMembers("(s4) s1 s2 s3")
	leader := r.leader()
	if _, err := leader.node.ReadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, _ := links.Load(leader.name)
	gag, ok := l.(*gagged)
	if !ok {
		t.Fatal("its link was never opened")
	}
	gag.on.Store(true)
	defer gag.on.Store(false)
	if got, err := leader.node.ReadIndex(t.Context()); err == nil {
		t.Errorf("it serves a read at %d", got.Index)
	}
}

// TestNoVerifyInHandOver: what is confirmed while leadership is handed over is out of date at once.
func TestNoVerifyInHandOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	n := r.leader().node
	if err := n.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	inside := false
	if err := n.handOver(func() raft.Future {
		inside = n.Verify(t.Context()) == nil
		return done{}
	}); err != nil || inside {
		t.Errorf("verified %t, %v", inside, err)
	}
	if err := n.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStallDeposesNobody: a follower whose disk hangs sees the leader die, and cannot stand. When
// the disk comes back another one leads, and goes on leading.
func TestStallDeposesNobody(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, 5)
	r.write("a")
	old := r.leader()
	slow := r.others(old)[0]
	eventually(t, "the leader is watched", slow.node.watches.Load)
	on := make(chan struct{})
	release := sync.OnceFunc(func() {
		slow.log.Load().hung.Store(nil)
		close(on)
	})
	t.Cleanup(release)
	slow.log.Load().hung.Store(&on)
	r.write("b") // it hangs at this
	old.kill()
	r.write("c")
	next := r.leader()
	if !wait(t.Context(), 2*time.Second) { // longer than its turn to stand, and than it tries to
		t.Fatal(t.Context().Err())
	}
	term := next.node.raft.CurrentTerm()
	release()
	if err := slow.machine.WaitIndex(t.Context(), next.machine.View().Index()); err != nil {
		t.Fatal(err)
	}
	if within(time.Second, func() bool { return next.node.raft.CurrentTerm() != term || !next.node.Leads() }) {
		t.Errorf("term %d follows term %d", next.node.raft.CurrentTerm(), term)
	}
}
