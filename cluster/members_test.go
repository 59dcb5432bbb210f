package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/peer"
)

// members prints the group as a node knows it: "s1 s2 s3 (s4)", in brackets who has no vote.
func (s *seat) members() string {
	var names []string
	for _, m := range s.node.servers() {
		name := string(m.ID)
		if m.Suffrage != raft.Voter {
			name = "(" + name + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return join(names)
}

func join(names []string) string { return strings.Join(names, " ") }

// wantMembers waits until every node that lives and has a place agrees on the group.
func (r *rig) wantMembers(want string) {
	r.t.Helper()
	got := ""
	ok := within(20*time.Second, func() bool {
		for _, s := range r.seats {
			if s.node == nil || s.node.Standing() != nil {
				continue
			}
			if got = s.members(); got != want {
				return false
			}
			if !s.counted() {
				got = string(s.name) + " counts the votes of others"
				return false
			}
		}
		return true
	})
	if !ok {
		r.t.Fatalf("the members are %q, want %q", got, want)
	}
}

// counted reports whether the node counts the votes of the members that there are now.
func (s *seat) counted() bool {
	all, most := peer.Electorate(s.node.servers(), raft.ServerID(s.name))
	others, need := s.node.electorate()
	return need == most && slices.Equal(others, all)
}

// TestJoin: a new scheduler becomes a spare; when a voter dies, it gets the vote, and the dead
// one is removed. When that one comes back, it is the spare.
func TestJoin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	s4 := r.seat("s4")
	s4.open()
	if err := s4.node.Standing(); kindOf(err) != api.NoLeader {
		t.Errorf("before it is a member: %v", err)
	}
	r.wantMembers("(s4) s1 s2 s3")
	r.wantRead("a")
	dead := r.others(r.leader())[0]
	dead.kill()
	r.wantMembers(members(r, dead, ""))
	r.write("b")
	r.wantRead("a b")

	dead.open()
	eventually(t, "it is a member again", func() bool { return dead.node.Standing() == nil && dead.node.Leader() != "" })
	r.wantMembers(members(r, dead, "("+string(dead.name)+")"))
	r.wantRead("a b")
}

// TestOneVoteTooMany: of four voters that are well, the one that came last is a spare again,
// and the others go on.
func TestOneVoteTooMany(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	s4 := r.seat("s4")
	s4.open()
	r.wantMembers("(s4) s1 s2 s3")
	eventually(t, "it has a vote", func() bool {
		return r.leader().node.raft.AddVoter("s4", raft.ServerAddress(s4.raft), 0, 0).Error() == nil
	})
	eventually(t, "three have votes", func() bool { return strings.Count(r.leader().members(), "(") == 1 })
	r.write("b")
	r.wantRead("a b")
}

// TestOneThatWantsFewer: a leader whose settings want fewer voters than the others' do takes
// nobody's vote.
func TestOneThatWantsFewer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	odd := r.others(r.leader())[0]
	r.tune = append(r.tune, func(c *Config) {
		if c.Node == odd.name {
			c.Expect = 1
		}
	})
	odd.close()
	odd.open()
	eventually(t, "it leads", func() bool {
		if l := r.leader(); l != odd {
			_, _ = l.node.Transfer(t.Context(), odd.name)
		}
		return odd.node.Leads()
	})
	if within(4*time.Second, func() bool { return odd.members() != "s1 s2 s3" }) {
		t.Errorf("the members are %s", odd.members())
	}
}

// TestTakenForDead: whoever is removed though it lives, and learns that from its log, comes back
// by itself: no operator told it to stay away.
func TestTakenForDead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	gone := r.others(r.leader())[0]
	eventually(t, "it is removed", func() bool {
		leader := r.leader()
		return leader != gone && leader.node.raft.RemoveServer(raft.ServerID(gone.name), 0, 0).Error() == nil
	})
	r.wantMembers("s1 s2 s3")
	r.write("b")
	r.wantRead("a b")
	eventually(t, "it stands again", func() bool { return gone.node.Standing() == nil })
}

// members prints all seats as voters but one, which is printed as given.
func members(r *rig, not *seat, as string) string {
	var names []string
	for _, s := range r.seats {
		if s != not {
			names = append(names, string(s.name))
		}
	}
	if as != "" {
		names = append(names, as)
	}
	slices.Sort(names)
	return join(names)
}

// TestVoteWaitsForTheRest: the log is not all that a vote vouches for.
func TestVoteWaitsForTheRest(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, 1)
	r.leader()
	r.expect = 3
	r.seats[0].close()
	r.seats[0].open()
	r.write("a")
	s2 := r.seat("s2")
	s2.behind.Store(7)
	s2.open()
	r.wantMembers("(s2) s1")
	eventually(t, "it is well, and waits", func() bool {
		return r.seats[0].node.pilot.Waits("s2") == 7
	})
	r.wantMembers("(s2) s1")
	s2.behind.Store(0)
	r.wantMembers("s1 s2")
}

// TestLostDisk: whoever comes to a dead member's address with an empty disk takes its place,
// and until it has it, it is nobody: it does not vote in the dead one's name.
func TestLostDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	lost := r.others(r.leader())[0]
	lost.kill()
	heir := r.seat(string(lost.name) + "-heir")
	heir.raft, heir.talk, heir.api = lost.raft, lost.talk, lost.api
	heir.open()
	r.wantMembers(members(r, lost, ""))
	r.wantRead("a")
	leader := r.leader()
	eventually(t, "the heir has the state", func() bool {
		return heir.machine.View().Fingerprint() == leader.machine.View().Fingerprint()
	})
}

// TestForgottenVote: a was acknowledged by a quorum of two disks. One of them dies for a while,
// the other is lost for good. The third must not be elected by the votes of the disk that was
// lost: it never had a.
func TestForgottenVote(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.leader()
	behind := r.others(r.leader())[0]
	behind.kill()
	r.write("a")
	lost := r.others(r.leader())[0]
	if lost == behind {
		lost = r.others(r.leader())[1]
	}
	witness := r.leader()
	lost.kill()
	witness.kill()

	heir := r.seat(string(lost.name) + "-heir")
	heir.raft, heir.talk, heir.api = lost.raft, lost.talk, lost.api
	heir.open()
	behind.open()
	eventually(t, "they see each other", func() bool { return len(behind.node.Others()) == 1 && len(heir.node.Others()) == 1 })
	if within(3*time.Second, func() bool { return behind.node.Leader() != "" }) {
		t.Fatalf("%s leads without what was acknowledged", behind.node.Leader())
	}
	witness.open()
	r.wantRead("a")
}

// TestMoved: a member that comes back with another address is found there, also when all of
// them moved at once, and the group is told.
func TestMoved(t *testing.T) {
	if underRace {
		t.Skip("raft v1.8.0 reads a member without its lock (updateLastAppended) while startStopReplication gives it another address")
	}
	t.Parallel()
	r := newRig(t)
	r.write("a")
	for _, s := range r.seats {
		s.close()
	}
	for _, s := range r.seats {
		s.raft, s.api = freePort(t), freePort(t)
		s.open()
	}
	r.write("b")
	r.wantRead("a b")
	eventually(t, "the group has the new addresses", func() bool {
		for _, m := range r.leader().node.servers() {
			if !slices.ContainsFunc(r.seats, func(s *seat) bool { return m.ID == raft.ServerID(s.name) && string(m.Address) == s.raft }) {
				return false
			}
		}
		return true
	})
	r.wantMembers("s1 s2 s3")
}

// TestRemoved: whoever is removed while it lives says so, answers nobody and comes to stay out,
// also after it was started again.
func TestRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	gone := r.others(r.leader())[0]
	eventually(t, "the leader knows that all are well", func() bool {
		leader := r.leader()
		return leader != gone && leader.node.Remove(t.Context(), gone.name, false, api.Dismissal{Actor: "operator/alice", Reason: "back to three"}) == nil
	})
	removed := func() bool {
		err, is := errors.AsType[*api.Error](gone.node.Standing())
		return is && err.Kind == api.SchedulerRemoved && !err.Retryable && !gone.node.asks.Load() &&
			strings.Contains(err.Detail, " by operator/alice at 2") && strings.HasSuffix(err.Detail, ": back to three")
	}
	eventually(t, "it says that it was removed", removed)
	gone.close()
	gone.open()
	eventually(t, "it says so again", removed)
	r.write("b")
	ahead := func() bool { // PreVote lets it ask, and its term stay as it is
		term := gone.node.raft.CurrentTerm()
		return !slices.ContainsFunc(r.others(gone), func(s *seat) bool { return s.node.raft.CurrentTerm() >= term })
	}
	if within(2*time.Second, ahead) {
		t.Error("it disturbs the others")
	}
	if ready, why := gone.node.ready(gone.node.State()); ready {
		t.Errorf("it is ready: %s", why)
	}
	if got := r.leader().members(); got != members(r, gone, "") {
		t.Errorf("members: %s", got)
	}
}

// TestNotTaken: what gossip says is not enough.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	r, other := newRigOf(t, 1), newRigOf(t, 1)
	r.write("a")
	other.write("b")
	// It has the gossip key and the cluster's id, and another CA.
	spy := r.seat("spy")
	spy.cert = other.issue(schedulerID("spy"))
	forged := *other.material
	forged.ClusterID, forged.GossipKey = r.material.ClusterID, r.material.GossipKey
	spy.rig = &rig{t: t, material: &forged, expect: 1, seats: r.seats}
	spy.open()
	eventually(t, "gossip has it", func() bool { return len(r.seats[0].node.Others()) == 1 })
	if within(3*time.Second, func() bool { return r.seats[0].members() != "s1" || spy.node.Standing() == nil }) {
		t.Errorf("members: %s; the other stands: %v", r.seats[0].members(), spy.node.Standing())
	}
}

// TestJoinsOnly: whoever had data of a cluster founds none.
func TestJoinsOnly(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, 1)
	s := r.seats[0]
	s.close()
	s.dir, s.joins = t.TempDir(), true
	s.open()
	if within(time.Second, func() bool { return s.node.Leader() != "" }) {
		t.Error("it founded a cluster")
	}
}

// TestGrowAndShrink: from three to five and back, as the page of operations says: what is
// wanted is changed by a rolling restart, the new ones get their votes, the old ones are removed.
func TestGrowAndShrink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	roll := func(expect int) {
		r.expect = expect
		for _, s := range r.seats {
			s.close()
			s.open()
			eventually(t, string(s.name)+" is back", func() bool { return s.node.Standing() == nil && s.node.Leader() != "" && s.node.Touch() < time.Second })
		}
	}
	r.expect = 5
	r.seat("s4").open()
	r.seat("s5").open()
	roll(5)
	r.wantMembers("s1 s2 s3 s4 s5")
	r.write("b")
	r.wantRead("a b")
	roll(3)
	// Nobody is removed who is well: two of them are spares now.
	eventually(t, "three have votes", func() bool {
		members := r.leader().members()
		return strings.Count(members, "s") == 5 && strings.Count(members, "(") == 2
	})
	for _, name := range []api.NodeID{"s5", "s4"} {
		eventually(t, string(name)+" is removed", func() bool {
			return kindIs(r.leader().node.Remove(t.Context(), name, false, api.Dismissal{}), api.NotFound)
		})
		i := slices.IndexFunc(r.seats, func(s *seat) bool { return s.name == name })
		r.seats[i].close()
	}
	r.wantMembers("s1 s2 s3")
	r.write("c")
	r.wantRead("a b c")
}

// kindIs reports whether err is nil or of a kind.
func kindIs(err error, kind api.Kind) bool { return err == nil || kindOf(err) == kind }
