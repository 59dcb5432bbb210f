package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// hushed reports whether this node is a leader that has fallen silent. raft takes it for the
// leader until its disk goes on, since its main loop waits for that; it decides nothing.
func (n *Node) hushed() bool {
	return n.raft.State() == raft.Leader && n.trans.Hushed(n.raft.CurrentTerm())
}

// hushLook is how often a silent leader looks whether it still is one, and who leads instead.
const hushLook = 100 * time.Millisecond

// sitOut is what a leader does instead of its role while it is silent: it finds out who leads,
// for those that ask here. When it turns out to lead still, its role begins anew.
func (n *Node) sitOut(ctx context.Context) {
	defer n.elsewhere.Store(nil)
	n.leadership.bump()
	for n.hushed() {
		if st := n.askLeader(ctx); st != nil {
			n.elsewhere.Store(&st.URL)
			n.leadership.bump()
		}
		if !clock.Sleep(ctx, hushLook) {
			return
		}
	}
	select {
	case n.paused <- func() {}:
	case <-ctx.Done():
	}
}
