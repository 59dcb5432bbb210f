package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// HoldTime is how long a request waits for a leader before it is answered no_leader.
const HoldTime = 5 * time.Second

// leadership is who leads, level-triggered: changed is closed at every change.
type leadership struct {
	passed atomic.Uint64 // the term whose barrier this node passed last
	pulse  *pulse

	mu      sync.Mutex
	gate    bool          // this node leads and its memory is rebuilt
	changed chan struct{} // replaced at every change
}

func newLeadership(c clock.Clock, lease time.Duration) *leadership {
	return &leadership{changed: make(chan struct{}), pulse: newPulse(c, lease)}
}

func (l *leadership) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gate
}

func (l *leadership) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *leadership) setGate(open bool) {
	l.mu.Lock()
	l.gate = open
	l.mu.Unlock()
	l.bump()
}

func (l *leadership) bump() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// SetGate says that this leader's memory is rebuilt and decisions may be made here, or
// that they may no longer.
func (n *Node) SetGate(open bool) { n.leadership.setGate(open) }

// Lead runs role whenever this node leads, and ends it when it no longer does. What role
// starts it has stopped when it returns, so two roles never overlap, and a node that lost
// and regained the lead between two reads starts afresh. Beside it the members are kept. A
// leader whose disk hangs ends its role, though raft does not know yet that it leads no more:
// what waits here goes on with the next leader.
func (n *Node) Lead(ctx context.Context, role func(context.Context)) {
	stop := func() {}
	defer func() { stop() }()
	lead := func() func() {
		return start(ctx, func(ctx context.Context) {
			defer start(ctx, n.keepMembers)()
			role(ctx)
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case on := <-n.raft.LeaderCh():
			stop()
			stop = func() {}
			if on {
				stop = lead()
			}
		case <-n.hung:
			stop()
			stop = func() {}
			switch {
			case n.hushed():
				stop = start(ctx, n.sitOut)
			case n.raft.State() == raft.Leader: // it is over already
				stop = lead()
			}
		case do := <-n.paused:
			stop()
			stop = func() {}
			do()
			if n.raft.State() == raft.Leader {
				stop = lead() // where it ended meanwhile, LeaderCh says so next
			}
		}
	}
}

// pauseLead ends the role, runs do, and begins the role anew, with nothing that it remembered.
func (n *Node) pauseLead(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	select {
	case n.paused <- func() { done <- do() }:
	case <-ctx.Done():
		return api.Refuse(api.NoLeader, "the lead was not paused: %v", ctx.Err())
	}
	return <-done
}

// keepMembers lets the pilot work once the gate is open.
func (n *Node) keepMembers(ctx context.Context) {
	for {
		changed := n.leadership.wait()
		if n.Leads() {
			n.pilot.Run(ctx)
			return
		}
		if !waitAny(ctx, changed, placeLook) {
			return
		}
	}
}

// start runs role and returns the function that ends it and waits.
func start(ctx context.Context, role func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		role(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// watchLeadership wakes whoever waits for a leader, and watches the leader's process.
func (n *Node) watchLeadership(ctx context.Context) {
	seen := make(chan raft.Observation, 16)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	stopPulse := start(ctx, n.leadership.pulse.run)
	defer stopPulse()
	stopSilence := start(ctx, n.watchSilence)
	defer stopSilence()
	last, watching, stop := raft.ServerID(""), raft.ServerID(""), func() {}
	defer func() { stop() }()
	for {
		gossip := n.gossip.Changed()
		n.trans.Learn(n.gossip.Members())
		addr, leader := n.raft.LeaderWithID()
		// The last one is watched until there is another: nobody leads while somebody stands in
		// a dead leader's place, and may not win.
		if leader != "" && leader != watching {
			stop()
			stop, watching = func() {}, leader
			if leader != raft.ServerID(n.cfg.Node) {
				stop = start(ctx, func(ctx context.Context) { n.watchLeader(ctx, leader, addr) })
			}
		}
		if leader != last {
			last = leader
			n.leadership.bump()
		}
		// Observations are dropped when the channel is full, so the level is read again soon.
		t := time.NewTimer(250 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-seen:
		case <-gossip: // a leader's address may have become known
			n.leadership.bump()
		case <-t.C:
		}
		t.Stop()
	}
}

// Locate says where decisions are made: here, or at the leader's URL. It waits at most
// HoldTime for a leader whose memory is rebuilt, then refuses with no_leader.
func (n *Node) Locate(ctx context.Context) (url string, self bool, err error) {
	if n.Leads() {
		return n.cfg.URL, true, nil // as it does for most of those who ask
	}
	ctx, cancel := context.WithTimeout(ctx, HoldTime)
	defer cancel()
	for {
		changed := n.leadership.wait()
		_, id := n.raft.LeaderWithID()
		if id == raft.ServerID(n.cfg.Node) {
			if n.Leads() {
				return n.cfg.URL, true, nil
			}
			if url := n.elsewhere.Load(); url != nil {
				return *url, false, nil
			}
		} else if url := n.urlOf(api.NodeID(id)); url != "" {
			return url, false, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", false, n.noLeader()
		}
	}
}

// Moved waits until the leader is known to be another than the one at url, at most d, and
// reports whether it is.
func (n *Node) Moved(ctx context.Context, url string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		changed := n.leadership.wait()
		leader := n.Leader()
		at := n.urlOf(leader)
		if at != "" && at != url && (leader != n.cfg.Node || n.Leads()) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (n *Node) noLeader() *api.Error {
	return api.Refuse(api.NoLeader, "no scheduler led within %s", HoldTime).
		WithHint("see whether a quorum of schedulers runs (grafos dev status, or /readyz?verbose of each); what one knows is still told: --consistency stale")
}

func (n *Node) urlOf(id api.NodeID) string {
	if id == "" {
		return ""
	}
	if id == n.cfg.Node {
		return n.cfg.URL
	}
	for _, m := range n.gossip.Members() {
		if m.Node == id {
			return m.URL
		}
	}
	return ""
}

// Touch is for how long this node has not heard its leader; 0 on the leader itself.
func (n *Node) Touch() time.Duration {
	if n.raft.State() == raft.Leader {
		return 0
	}
	last := n.raft.LastContact()
	if last.IsZero() {
		return clock.Since(n.cfg.Clock, n.started)
	}
	return clock.Since(n.cfg.Clock, last)
}

// LeaderMoved returns a channel that is closed at the next change of who leads.
func (n *Node) LeaderMoved() <-chan struct{} { return n.leadership.wait() }

// Leader names the leader that this node follows, or "".
func (n *Node) Leader() api.NodeID {
	_, id := n.raft.LeaderWithID()
	return api.NodeID(id)
}

// Leads reports whether this node leads and may decide.
//
// The term is that of the barrier it passed: leadership that was lost and won again opens
// the gate anew.
func (n *Node) Leads() bool {
	select {
	case <-n.failed:
		return false
	default:
	}
	return n.raft.State() == raft.Leader && n.leadership.open() && n.leadership.passed.Load() == n.raft.CurrentTerm() && !n.hushed()
}
