package cluster

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/cluster/peer"
)

// raft's own LastContact does not say how old a state may be (v1.8.0): it is now when a vote was
// given and when a leader stepped down, and it counts a message as heard when it is read, which
// after a standstill is not when it was sent.

// heard is when this node heard a leader last, as of what is certain. The zero value is never.
type heard struct {
	at atomic.Pointer[time.Time]
}

// hears takes note of a message of the leader's. What comes in after a standstill may be as old as
// that was long, and a moment later there is news.
func (n *Node) hears() {
	if n.leadership.pulse.steady() || mutant.On(mutant.StaleAge) {
		now := n.cfg.Clock.Now()
		n.heard.at.Store(&now)
	}
}

// Age is how old this node's state may be, as readers are told it: 0 on the leader, else for how
// long it has not heard one; api.NeverHeard where this process has heard none, and knows nothing
// of it. On a follower a standstill of less than the leader's lease is not noticed: so much it may
// be off.
func (n *Node) Age() time.Duration {
	leads := n.raft.State() == raft.Leader && n.handing.Load() == 0 && !n.hushed()
	var known time.Time
	if at := n.heard.at.Load(); at != nil {
		known = *at
	}
	if age := clock.Since(n.cfg.Clock, known); !leads && age <= n.cfg.Lease {
		return age
	}
	voters, need := n.electorate()
	if leads && (need < 1 || mutant.On(mutant.StaleAge)) {
		return 0
	}
	followed := n.trans.Followed(voters, need)
	// Within its lease of a message that a majority answered nobody else is elected, but who
	// leadership is handed to.
	if leads && clock.Since(n.cfg.Clock, followed) <= n.cfg.Lease {
		return 0
	}
	if followed.After(known) {
		known = followed
	}
	if known.IsZero() {
		return api.NeverHeard
	}
	return clock.Since(n.cfg.Clock, known)
}

// electorate is peer.Electorate of the newest members, which hardly ever change.
func (n *Node) electorate() ([]raft.Server, int) {
	servers := n.servers()
	if e := n.voters.Load(); e != nil && sameList(e.of, servers) {
		return e.others, e.need
	}
	e := &electorate{of: servers}
	e.others, e.need = peer.Electorate(servers, raft.ServerID(n.cfg.Node))
	n.voters.Store(e)
	return e.others, e.need
}

// electorate is what peer.Electorate made of a list of members.
type electorate struct {
	of, others []raft.Server
	need       int
}

// sameList reports whether two lists are one: raft makes a new one with every change (v1.8.0), and
// never writes one that it has given away.
func sameList(a, b []raft.Server) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
