package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// TestTurn: a follower stands in its turn, and at once when it knows that the one before it
// stood in vain.
func TestTurn(t *testing.T) {
	ask := func(id string, term, lastTerm, lastIndex uint64) raft.RequestVoteRequest {
		return raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ID: []byte(id)}, Term: term, LastLogTerm: lastTerm, LastLogIndex: lastIndex}
	}
	own := tail{term: 7, index: 100}
	tests := []struct {
		name string
		rank int
		asks []raft.RequestVoteRequest
		want time.Duration
	}{
		{"the first", 0, nil, 0},
		{"the second", 1, nil, watchStagger},
		{"the first has the same log", 1, []raft.RequestVoteRequest{ask("s1", 8, 7, 100)}, watchStagger},
		{"the first has a newer log", 1, []raft.RequestVoteRequest{ask("s1", 8, 7, 101)}, watchStagger},
		{"the first has an older log", 1, []raft.RequestVoteRequest{ask("s1", 8, 7, 99)}, watchVote},
		{"the first has a log of an older term", 1, []raft.RequestVoteRequest{ask("s1", 8, 6, 500)}, watchVote},
		{"an election of long ago", 1, []raft.RequestVoteRequest{ask("s1", 6, 5, 50)}, watchStagger},
		{"that of the dead leader", 1, []raft.RequestVoteRequest{ask("s3", 7, 6, 50)}, watchStagger},
		{"one that was under way when the end was noticed", 1, []raft.RequestVoteRequest{ask("s1", 7, 6, 50)}, watchVote},
		{"one turn is over, not two", 2, []raft.RequestVoteRequest{ask("s1", 8, 7, 99)}, watchStagger},
		{"asked twice in a term", 2, []raft.RequestVoteRequest{ask("s1", 8, 7, 99), ask("s1", 8, 7, 99)}, watchStagger},
		{"both before it", 2, []raft.RequestVoteRequest{ask("s1", 8, 7, 99), ask("s2", 9, 7, 99)}, watchVote},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCandidacies(clock.System())
				for _, q := range tt.asks {
					c.note(q)
				}
				began := time.Now()
				if !c.await(t.Context(), tt.rank, "s3", 7, own) {
					t.Error("the turn never comes")
				}
				if got := time.Since(began); got != tt.want {
					t.Errorf("stands after %s, not after %s", got, tt.want)
				}
			})
		})
	}
}

// TestCandidaciesAreBounded: the newest stay, and nobody waits.
func TestCandidaciesAreBounded(t *testing.T) {
	c := newCandidacies(clock.System())
	for term := range uint64(100) {
		c.note(raft.RequestVoteRequest{Term: term})
	}
	if got, want := (<-c.asked).Term, uint64(100-keepCandidacies); got != want {
		t.Errorf("the oldest that is kept is of term %d, not %d", got, want)
	}
}

// TestHush: a leader whose disk hangs says nothing, in that term, for that long.
func TestHush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{quiet: hushed{clock: clock.System()}}
		said := func(term uint64) bool { return !tr.quiet.silent(term) }
		if !said(3) {
			t.Error("silent without a reason")
		}
		tr.hush(3, stallHush)
		if said(3) || said(2) {
			t.Error("a leader whose disk hangs speaks")
		}
		if !said(4) {
			t.Error("a leader that was elected again is silent")
		}
		time.Sleep(stallHush)
		if !said(3) {
			t.Error("silent for longer than it was told to")
		}
	})
}
