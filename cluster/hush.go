package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
)

// hushed is in which term, and until when, a node tells its followers nothing. The zero value
// is never. A node that is elected again has written its vote: then its disk does not hang.
type hushed struct {
	clock clock.Clock
	spell atomic.Pointer[hush]
}

type hush struct {
	term  uint64
	until time.Time
}

// errHushed is why nothing was sent.
var errHushed = errors.New("this leader's disk hangs: it says nothing, so that another one is elected")

// hush makes the node, as the leader of a term, silent for d from now; it reports whether it
// was not before.
func (t *transport) hush(term uint64, d time.Duration) bool {
	was := t.quiet.silent(term)
	t.quiet.spell.Store(&hush{term: term, until: t.quiet.clock.Now().Add(d)})
	return !was
}

// hushed reports whether this node is a leader that has fallen silent. raft takes it for the
// leader until its disk goes on, since its main loop waits for that; it decides nothing.
func (n *Node) hushed() bool {
	return n.raft.State() == raft.Leader && n.trans.quiet.silent(n.raft.CurrentTerm())
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
		if !wait(ctx, hushLook) {
			return
		}
	}
	select {
	case n.paused <- func() {}:
	case <-ctx.Done():
	}
}

// silent reports whether nothing of a term may be sent now.
func (h *hushed) silent(term uint64) bool {
	s := h.spell.Load()
	return !mutant.On(mutant.HungTalks) && s != nil && term <= s.term && h.clock.Now().Before(s.until)
}
