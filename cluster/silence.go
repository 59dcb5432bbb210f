package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
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

// silence is how quiet a leader was of late without being gone: on a busy host, or a long way
// off, it pauses now and then, and must not be replaced for that.
type silence struct {
	leader raft.ServerID // that is followed
	term   uint64
	since  time.Time     // when it was followed first
	touch  time.Duration // for how long it had not been heard at the last look
	worst  time.Duration // the longest pause of late that it came back from
	at     time.Time     // when that was
}

// silenceMemory is for how long a pause is remembered.
const silenceMemory = time.Minute

// look takes note of what is heard now: touch is since when nothing was.
func (s *silence) look(now time.Time, leader raft.ServerID, term uint64, touch time.Duration) {
	if now.Sub(s.at) > silenceMemory {
		s.worst = 0
	}
	switch {
	case leader != s.leader || term != s.term:
		s.leader, s.term, s.since = leader, term, now
	case touch < s.touch && s.touch >= s.worst: // it came back
		s.worst, s.at = s.touch, now
	}
	s.touch = touch
}

// limit is how long it may be silent: longer than its lease, so that it has stopped deciding
// by then where it is only cut off; a little longer than the least of Raft's own timers, and
// twice as long as it was silent before for nothing.
func (s *silence) limit(heartbeat time.Duration) time.Duration {
	return max(heartbeat*6/5, 2*s.worst)
}

// settled reports whether it was followed for long enough to be judged: leaders do not follow
// one another faster than that because each is slow to begin. Nobody is judged at once.
func (s *silence) settled(now time.Time, heartbeat time.Duration) bool {
	return s.leader == "" || now.Sub(s.since) >= 2*heartbeat
}

// watchSilence looks for such a leader until ctx ends.
func (n *Node) watchSilence(ctx context.Context) {
	var heard silence
	pause := silenceLook
	for clock.Sleep(ctx, pause) {
		pause = silenceLook
		if n.raft.State() != raft.Follower || !n.leadership.pulse.steady() {
			continue
		}
		now := n.cfg.Clock.Now()
		_, leader := n.raft.LeaderWithID()
		heard.look(now, leader, n.raft.CurrentTerm(), n.Touch())
		limit := heard.limit(n.cfg.Heartbeat)
		if heard.touch >= limit && heard.settled(now, n.cfg.Heartbeat) && n.standForSilence(ctx, limit) {
			pause = silenceRest
		}
	}
}

// silent reports whether this follower has heard no leader for too long, and given nobody its
// vote, and was awake meanwhile.
func (n *Node) silent(limit time.Duration) bool {
	return n.raft.State() == raft.Follower && n.Touch() >= limit && n.leadership.pulse.steady()
}

// standForSilence starts an election where enough others hear nothing either, in this
// follower's turn; it reports whether there is nothing to be done for a while.
func (n *Node) standForSilence(ctx context.Context, limit time.Duration) bool {
	_, leader := n.raft.LeaderWithID()
	term := n.raft.CurrentTerm()
	votes := n.poll(ctx, leader)
	if deaf(votes, limit) < n.quorum() && !mutant.On(mutant.StandAlone) {
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
	if !clock.Sleep(ctx, time.Duration(turn)*watchStagger) || !n.silent(limit) || !n.mayStand(leader, term, turn) {
		return false
	}
	n.log.Warn("the leader is silent: standing for election", "leader", string(leader), "term", term, "since", n.Touch(), "turn", turn)
	n.standNow(ctx)
	return true
}

// deaf counts the voters that have heard no leader for too long, in whatever term they are: one
// that stood and was not answered is in a later one, and nobody is the better for it.
func deaf(votes []ballot, limit time.Duration) int {
	count := 0
	for _, b := range votes {
		if b.state != nil && time.Duration(b.state.LastContactMs)*time.Millisecond >= limit {
			count++
		}
	}
	return count
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
