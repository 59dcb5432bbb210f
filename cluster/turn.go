package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// candidacies is who stood for election lately, as this node was asked for its vote.
type candidacies struct {
	clock clock.Clock
	asked chan raft.RequestVoteRequest
}

// keepCandidacies bounds them; the newest ones stay.
const keepCandidacies = 8

func newCandidacies(c clock.Clock) candidacies {
	return candidacies{clock: c, asked: make(chan raft.RequestVoteRequest, keepCandidacies)}
}

// note takes a request for this node's vote.
func (c candidacies) note(q raft.RequestVoteRequest) {
	for {
		select {
		case c.asked <- q:
			return
		default:
		}
		select {
		case <-c.asked:
		default:
		}
	}
}

// tail is where a log ends.
type tail struct{ term, index uint64 }

// before reports whether a log that ends here is older than one that ends there.
func (t tail) before(o tail) bool { return t.term < o.term || t.term == o.term && t.index < o.index }

// await waits for the turn of the follower of a rank to stand for election, after the process
// of a leader is gone that led in a term, or in the one before; own is where this follower's
// log ends. It reports false when ctx ended. Each turn takes watchStagger, unless whoever has
// it stood with an older log: this follower does not vote for it, and gives the votes of the
// others only the time to come.
func (c candidacies) await(ctx context.Context, rank int, gone raft.ServerID, term uint64, own tail) bool {
	left := time.Duration(rank) * watchStagger
	began := c.clock.Now()
	for {
		timer := time.NewTimer(left - clock.Since(c.clock, began))
		select {
		case <-timer.C:
			return true
		case q := <-c.asked:
			timer.Stop()
			if q.Term >= term && string(q.ID) != string(gone) && (tail{q.LastLogTerm, q.LastLogIndex}).before(own) {
				term = q.Term + 1
				left = min(left, max(left-watchStagger, clock.Since(c.clock, began)+watchVote))
			}
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}
