package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// A leader that hangs, or whose host or link is lost, closes no connection: its followers hear
// nothing. Raft's own timers are random, each follower's its own, and until the last of them
// has run out the others refuse to elect anybody: two seconds and more. So the followers ask
// one another. When as many as elect a leader have heard nothing for as long as each of them
// may stand by itself, the first of them does.

const (
	silenceLook = 50 * time.Millisecond
	// silenceRest is how long nothing is done after a try.
	silenceRest = time.Second
)

// silenceLimit is how long a leader may be silent: longer than its lease, so that it has
// stopped deciding by then where it is only cut off, and a little longer than the least of
// Raft's own timers. All of a quorum hear nothing then, and a hand-over that was not needed
// costs less than the wait.
func (n *Node) silenceLimit() time.Duration { return n.cfg.Heartbeat * 6 / 5 }

// watchSilence looks for such a leader until ctx ends.
func (n *Node) watchSilence(ctx context.Context) {
	pause := silenceLook
	for wait(ctx, pause) {
		pause = silenceLook
		if n.silent() && n.standForSilence(ctx) {
			pause = silenceRest
		}
	}
}

// silent reports whether this follower has heard no leader for too long, and given nobody its
// vote, and was awake meanwhile.
func (n *Node) silent() bool {
	return n.raft.State() == raft.Follower && n.Touch() >= n.silenceLimit() && n.leadership.pulse.steady()
}

// standForSilence starts an election where enough others hear nothing either, in this
// follower's turn; it reports whether there is nothing to be done for a while.
func (n *Node) standForSilence(ctx context.Context) bool {
	_, leader := n.raft.LeaderWithID()
	term := n.raft.CurrentTerm()
	votes := n.poll(ctx, leader)
	if n.deaf(votes, term) < n.quorum() {
		return false
	}
	// One whose own timer has run out already stands for itself, and cannot be told to.
	able := votes[:1:1]
	for _, b := range votes[1:] {
		if b.state == nil || b.state.Follows {
			able = append(able, b)
		}
	}
	turn := n.turn(able)
	if !wait(ctx, time.Duration(turn)*watchStagger) || !n.silent() || !n.mayStand(leader, term, turn) {
		return false
	}
	n.log.Warn("the leader is silent: standing for election", "leader", string(leader), "term", term, "since", n.Touch(), "turn", turn)
	n.standNow(ctx)
	return true
}

// deaf counts the voters that have not heard the leader of a term for too long.
func (n *Node) deaf(votes []ballot, term uint64) int {
	deaf := 0
	for _, b := range votes {
		if st := b.state; st != nil && st.Term == term && time.Duration(st.LastContactMs)*time.Millisecond >= n.silenceLimit() {
			deaf++
		}
	}
	return deaf
}

// quorum is how many voters elect a leader.
func (n *Node) quorum() int {
	voters := 0
	for _, s := range n.servers() {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	return voters/2 + 1
}
