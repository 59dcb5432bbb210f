package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/peer"
)

// gagged is a link whose appends to some members are lost while it is on.
type gagged struct {
	peer.Link
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
		c.Link = func() (peer.Link, error) {
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

// TestStallDeposesNobody: a follower whose disk hangs is to stand, as when it sees its leader die,
// and cannot. When the disk comes back there is a leader, whom it leaves alone.
func TestStallDeposesNobody(t *testing.T) {
	t.Parallel()
	var links sync.Map // *standing by name
	r := newRigOf(t, 3, func(c *Config) {
		// Nobody stands by a timer, and a busy host does not take the lead from the leader.
		c.Heartbeat, c.Election, c.Lease = 4*time.Second, 4*time.Second, 4*time.Second
		open, name := c.Link, c.Node
		c.Link = func() (peer.Link, error) {
			l, err := open()
			s := &standing{Link: l}
			links.Store(name, s)
			return s, err
		}
	})
	r.write("a")
	leader := r.leader()
	slow := r.others(leader)[0]
	on := make(chan struct{})
	release := sync.OnceFunc(func() {
		slow.log.Load().hung.Store(nil)
		close(on)
	})
	t.Cleanup(release)
	slow.log.Load().hung.Store(&on)
	r.write("b")
	eventually(t, "it hangs at this", slow.log.Load().held.Load)
	l, _ := links.Load(slow.name)
	link, ok := l.(*standing)
	if !ok {
		t.Fatal("its link was never opened")
	}
	before := link.stood.Load()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { slow.node.standNow(ctx) })
	if !clock.Sleep(ctx, 10*peer.StandWithin) {
		t.Fatal(ctx.Err())
	}
	release()
	if err := slow.machine.WaitIndex(ctx, leader.machine.View().Index()); err != nil {
		t.Fatal(err)
	}
	if within(time.Second, func() bool { return link.stood.Load() > before }) {
		t.Error("it stands for election, late")
	}
}

// standing is a link that counts the votes that are asked for by one who was told to stand.
type standing struct {
	peer.Link
	stood atomic.Int64
}

// RequestVote counts.
func (s *standing) RequestVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if args.LeadershipTransfer {
		s.stood.Add(1)
	}
	return s.Link.RequestVote(id, at, args, resp)
}
