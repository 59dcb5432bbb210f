package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// TestSilentLeader: a leader that says nothing, and closes no connection, is replaced, behind
// the end of its lease. Whoever waits for that is told.
func TestSilentLeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	old := r.leader()
	for _, s := range r.others(old) {
		eventually(t, string(s.name)+" follows", func() bool { return s.node.Leader() == old.name })
	}
	if moved := old.node.Moved(t.Context(), old.node.cfg.URL, 20*time.Millisecond); moved {
		t.Error("the leader has moved from where it is")
	}
	told := make(chan bool, 1)
	follower := r.others(old)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { told <- follower.node.Moved(ctx, old.node.cfg.URL, 20*time.Second) }()
	began, term := time.Now(), old.node.raft.CurrentTerm()
	old.node.trans.Hush(term, time.Minute)
	var now *seat
	// Where the votes are split, the old leader may be the one that stands next.
	eventually(t, "a leader of another term", func() bool {
		for _, s := range r.seats {
			if s.node.Leads() && s.node.raft.CurrentTerm() > term {
				now = s
				return true
			}
		}
		return false
	})
	t.Logf("%s leads %s after %s fell silent", now.name, time.Since(began).Round(time.Millisecond), old.name)
	if silence := time.Since(began); silence < old.node.cfg.Lease {
		t.Errorf("it was replaced after %s, within its lease of %s", silence, old.node.cfg.Lease)
	}
	if now != old && !<-told {
		t.Error("who waited for another leader was not told")
	}
	r.write("b")
	r.wantRead("a b")
}

// TestDeaf counts who has heard nothing for long enough, in whatever term.
func TestDeaf(t *testing.T) {
	votes := []ballot{
		{"s1", &api.MemberState{Term: 7, LastContactMs: 600}},
		{"s2", &api.MemberState{Term: 7, LastContactMs: 599}},
		{"s3", &api.MemberState{Term: 8, LastContactMs: 900}}, // it stood, and nobody answered
		{"s4", nil},
		{"s5", &api.MemberState{Term: 8, Leads: true}},
	}
	if got := deaf(votes, 600*time.Millisecond); got != 2 {
		t.Errorf("%d are deaf, want s1 and s3", got)
	}
}

// TestTurn: who has the newest log is first, whoever says nothing is known by name.
func TestTurn(t *testing.T) {
	at := func(term, index uint64) *api.MemberState { return &api.MemberState{LastTerm: term, LastIndex: index} }
	own := ballot{"s2", at(3, 10)}
	for name, tt := range map[string]struct {
		others []ballot
		want   int
	}{
		"alone":            {nil, 0},
		"an older log":     {[]ballot{{"s1", at(3, 9)}, {"s3", at(2, 99)}}, 0},
		"a newer log":      {[]ballot{{"s3", at(3, 11)}}, 1},
		"a newer term":     {[]ballot{{"s3", at(4, 1)}, {"s1", at(4, 2)}}, 2},
		"the same, first":  {[]ballot{{"s3", at(3, 10)}}, 0},
		"the same, second": {[]ballot{{"s1", at(3, 10)}}, 1},
		"silent":           {[]ballot{{"s1", nil}, {"s3", nil}}, 1},
	} {
		if got := (&Node{}).turn(append([]ballot{own}, tt.others...)); got != tt.want {
			t.Errorf("%s: turn %d, want %d", name, got, tt.want)
		}
	}
	if got := (&Node{}).turn(nil); got != -1 {
		t.Errorf("one without a vote: turn %d", got)
	}
}

// TestSilenceOfABusyLeader: pauses that it came back from make its followers patient, for a
// while; those that it did not come back from do not.
func TestSilenceOfABusyLeader(t *testing.T) {
	const heartbeat, ms = 500 * time.Millisecond, time.Millisecond
	var s silence
	now := time.Unix(1, 0)
	look := func(leader string, term uint64, touch time.Duration) {
		now = now.Add(silenceLook)
		s.look(now, raft.ServerID(leader), term, touch)
	}
	want := func(what string, limit time.Duration) {
		t.Helper()
		if got := s.limit(heartbeat); got != limit {
			t.Errorf("%s: the limit is %s, want %s", what, got, limit)
		}
	}
	look("s1", 2, 0)
	if s.settled(now, heartbeat) {
		t.Error("one that has just been elected is judged")
	}
	look("s1", 2, 90*ms)
	look("s1", 2, 10*ms)
	want("steady", 600*ms)
	look("s1", 2, 450*ms)
	look("s1", 2, 5*ms)
	want("after a pause", 900*ms)
	look("s1", 2, 700*ms)
	look("s2", 3, 5*ms)
	want("after one that was replaced", 900*ms)
	now = now.Add(silenceMemory)
	look("s2", 3, 80*ms)
	want("a while later", 600*ms)
	if !s.settled(now, heartbeat) {
		t.Error("it is never judged")
	}
}
