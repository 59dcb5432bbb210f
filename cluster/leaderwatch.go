package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/peer"
)

// The leader watch shortens fail-over when the leader's process dies: its kernel closes its
// connections and refuses new ones, which says within a millisecond what a timer says after
// a second. It only starts an election, so that safety stays Raft's own; a leader that
// hangs, or whose host is lost, is left to the timers.
const (
	// watchStagger keeps the followers from standing at once: they do in turn. A vote must be on
	// two disks before the next one's turn, or both stand and nobody wins until a timer ends.
	watchStagger = 200 * time.Millisecond
	// watchGone is for how long the ends of the leader's sockets may trickle in.
	watchGone = 100 * time.Millisecond
	// watchAgain is when the others are asked again whether it is gone for them too.
	watchAgain = 5 * time.Millisecond
	// watchBackoff is how long a follower leaves alone a leader that closed the connection
	// and still accepts new ones: it refuses this follower, or restarted its listener.
	watchBackoff = time.Second
)

// watchLeader watches one leader's process until ctx ends: until another leads.
func (n *Node) watchLeader(ctx context.Context, id raft.ServerID, addr raft.ServerAddress) {
	for {
		process, term, ended := n.hold(ctx, addr)
		if ended && n.trans.Refused(ctx, addr) && n.stand(ctx, id, addr, process, term) {
			n.log.Debug("stood for election", "leader", string(id))
		}
		if !clock.Sleep(ctx, watchBackoff) {
			return
		}
	}
}

// hold keeps a silent connection to the leader and returns when it has ended: with the name
// of the leader's process, and the term in which it led at last. ended is false when there
// never was one.
func (n *Node) hold(ctx context.Context, addr raft.ServerAddress) (process string, term uint64, ended bool) {
	defer n.watches.Store(false)
	process, ended = n.trans.Hold(ctx, addr, func() { n.watches.Store(true) })
	// It may have been elected again meanwhile; a newer term than its last one has no leader.
	return process, n.raft.CurrentTerm(), ended
}

// stand starts an election in this follower's turn, unless somebody was faster or the leader
// turns out to live; it reports whether it did. A leader that lives holds connections to its
// followers, whatever became of its listener and of the way there; and where it is this
// follower's way that is cut, another one still holds its own.
func (n *Node) stand(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, process string, term uint64) bool {
	if !n.trans.Gone(ctx, process, watchGone) {
		return false
	}
	votes, gone := n.pollGone(ctx, id)
	turn := n.turn(votes)
	if !gone || turn < 0 || !clock.Sleep(ctx, time.Duration(turn)*watchStagger) || !n.mayStand(id, term, turn) {
		return false
	}
	if turn > 0 && !n.trans.Refused(ctx, addr) {
		return false
	}
	n.log.Info("the leader's process is gone: standing for election", "leader", string(id), "term", term, "turn", turn)
	n.standNow(ctx)
	return true
}

// pollGone is poll once nobody who answers holds a connection to the leader any more: the
// others learn of its end in the same moment, but for what their hosts are busy with. gone is
// false where one of them still does after watchGone.
func (n *Node) pollGone(ctx context.Context, id raft.ServerID) (votes []ballot, gone bool) {
	began := n.cfg.Clock.Now()
	for {
		votes = n.poll(ctx, id)
		if !slices.ContainsFunc(votes, func(b ballot) bool { return b.state != nil && b.state.Holds }) {
			return votes, true
		}
		if clock.Since(n.cfg.Clock, began) > watchGone || !clock.Sleep(ctx, watchAgain) {
			return votes, false
		}
	}
}

// mayStand reports whether it is still this follower's turn to stand in place of a leader.
func (n *Node) mayStand(id raft.ServerID, term uint64, turn int) bool {
	_, leader := n.raft.LeaderWithID()
	led := leader == id && n.raft.CurrentTerm() == term
	// Who stands first may lose all the same: the leader is then nobody, in a newer term, and
	// it is the next one's turn.
	orphaned := leader == "" && turn > 0
	return (led || orphaned) && n.raft.State() == raft.Follower
}

func (n *Node) standNow(ctx context.Context) {
	if pending := n.storage.Pending; pending != nil && pending() > peer.StandWithin {
		n.log.Warn("not standing for election: the disk has not finished a write", "since", pending())
		return
	}
	if err := n.trans.StartElection(ctx, n.header()); err != nil {
		n.log.Warn("start election", "error", err)
	}
}
