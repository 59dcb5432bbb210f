package cluster

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestMain looks for goroutines that nobody waited for. memberlist's own outlive its Shutdown
// for as long as a probe takes.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).triggerFunc"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).pushPullTrigger"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode.func3"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).handleConn"),
	)
}

// TestCluster is the life of a cluster: it forms, agrees, loses its leader, goes on, and
// comes back from its data.
func TestCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.wantRead("a")

	old := r.leader()
	old.kill()
	r.write("b")
	r.wantRead("a b")

	old.open()
	eventually(t, "the old leader follows", func() bool { return old.node.Leader() != "" })
	r.wantRead("a b")

	for _, s := range r.seats {
		s.close()
	}
	for _, s := range r.seats {
		s.open()
	}
	r.wantRead("a b")
	r.write("c")
	r.wantRead("a b c")

	v, _ := r.leader().node.Read(t.Context())
	for _, s := range r.seats {
		if err := s.node.machine.WaitIndex(t.Context(), v.Index()); err != nil {
			t.Fatal(err)
		}
		if ready, why := s.node.ready(s.node.State()); !ready {
			t.Errorf("%s is not ready: %s", s.name, why)
		}
		if got := len(s.node.Peers()); got != 3 {
			t.Errorf("%s has %d peers", s.name, got)
		}
	}
}

// TestGracefulStopHandsOver: nobody waits for a timer.
func TestGracefulStopHandsOver(t *testing.T) {
	r := newRig(t)
	r.write("a")
	r.slow()
	old := r.leader()
	began := time.Now()
	old.close()
	r.write("b")
	took := time.Since(began)
	t.Logf("%s from the beginning of a graceful stop to the next write", took.Round(time.Millisecond))
	if took > slowTimer/2 {
		t.Errorf("took %s", took)
	}
	r.wantRead("a b")
}

const slowTimer = 20 * time.Second

// slow makes the timers of a cluster that has a leader so long that no test lives to see
// them.
func (r *rig) slow() {
	r.t.Helper()
	for _, s := range r.seats {
		conf := s.node.raft.ReloadableConfig()
		conf.HeartbeatTimeout, conf.ElectionTimeout = slowTimer, slowTimer
		if err := s.node.raft.ReloadConfig(conf); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestLeaderKilled: the followers see that its process is gone, and one of them stands, once.
func TestLeaderKilled(t *testing.T) {
	r := newRig(t)
	r.write("a")
	r.slow()
	old := r.leader()
	term := old.node.raft.CurrentTerm()
	r.watched(old)
	began := time.Now()
	old.kill()
	now := r.leader()
	if took := time.Since(began); took > slowTimer/2 {
		t.Errorf("took %s", took)
	}
	if got := now.node.raft.CurrentTerm(); got != term+1 {
		t.Errorf("term %d after %d: more than one election", got, term)
	}
	r.write("b")
	r.wantRead("a b")
}

// key is how a node's connections are known to the others.
func key(s *seat) string { return string(s.cert.Leaf.RawSubjectPublicKeyInfo) }

// TestLeaderOutOfReach: a leader whose watch has ended still holds connections to its
// followers, and is left alone.
func TestLeaderOutOfReach(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.slow()
	old := r.leader()
	follower := r.others(old)[0]
	eventually(t, "a follower", func() bool { return follower.node.Leader() == old.name })
	addr, id := follower.node.raft.LeaderWithID()
	term := follower.node.raft.CurrentTerm()
	if follower.node.stand(t.Context(), id, addr, key(old), term) {
		t.Error("stood for election against a leader that lives")
	}
	if got := follower.node.raft.CurrentTerm(); got != term {
		t.Errorf("term %d after %d", got, term)
	}
	r.write("b")
}

// TestLeaderGoneForOne: a follower for which the leader's process is gone, as behind a firewall that
// refuses in its place, leaves it alone as long as another one holds its connection.
func TestLeaderGoneForOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.slow()
	old := r.leader()
	r.watched(old)
	follower := r.others(old)[0]
	addr, id := follower.node.raft.LeaderWithID()
	term := follower.node.raft.CurrentTerm()
	if follower.node.stand(t.Context(), id, addr, "nobody", term) {
		t.Error("stood for election against a leader that another one holds")
	}
	if got := follower.node.raft.CurrentTerm(); got != term {
		t.Errorf("term %d after %d", got, term)
	}
	r.write("b")
}

// watched waits until every follower of a leader holds a connection to it.
func (r *rig) watched(leader *seat) {
	r.t.Helper()
	for _, s := range r.others(leader) {
		eventually(r.t, "a watch by "+string(s.name), func() bool {
			return s.node.Leader() == leader.name && s.node.watches.Load()
		})
	}
}

// TestStandsOnlyInItsTerm: what is found out too late is not acted upon.
func TestStandsOnlyInItsTerm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.leader()
	r.slow()
	old := r.leader()
	follower := r.others(old)[0]
	r.watched(old)
	for _, s := range r.others(old) {
		s.node.watches.Store(false) // nobody says that it lives
	}
	addr, id := follower.node.raft.LeaderWithID()
	term := follower.node.raft.CurrentTerm()
	for name, try := range map[string]func() bool{
		"an older term":  func() bool { return follower.node.stand(t.Context(), id, addr, "nobody", term-1) },
		"another leader": func() bool { return follower.node.stand(t.Context(), "s9", addr, "nobody", term) },
		"the leader":     func() bool { return old.node.stand(t.Context(), id, addr, "nobody", term) },
	} {
		if try() {
			t.Errorf("%s: stood", name)
		}
	}
}

// TestReadWithoutLeader holds the reader and then says why.
func TestReadWithoutLeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	last := r.seats[0]
	r.seats[1].kill()
	r.seats[2].kill()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	eventually(t, "nobody leads", func() bool { return !last.node.Leads() && last.node.Leader() == "" })
	if _, err := last.node.Read(ctx); kindOf(err) != api.NoLeader {
		t.Errorf("got %v", err)
	}
	if _, _, err := last.node.Locate(ctx); kindOf(err) != api.NoLeader {
		t.Errorf("got %v", err)
	}
	if _, err := last.node.ReadIndex(t.Context()); kindOf(err) != api.NoLeader {
		t.Errorf("got %v", err)
	}
	_, err := last.node.Propose(t.Context(), fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}})
	if kindOf(err) != api.NoLeader {
		t.Errorf("got %v", err)
	}
	if ready, why := last.node.ready(last.node.State()); ready || why != "there is no leader" {
		t.Errorf("ready %v: %s", ready, why)
	}
	if last.node.Touch() == 0 {
		t.Error("a follower without a leader says that it just heard one")
	}
}

// TestLocate names the leader on every node, and no leader whose gate is closed.
func TestLocate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	leader := r.leader()
	for _, s := range r.seats {
		url, self, err := s.node.Locate(t.Context())
		if err != nil || url != "https://"+leader.api || self != (s == leader) {
			t.Errorf("%s: %s %v %v", s.name, url, self, err)
		}
	}
	leader.node.SetGate(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := leader.node.Locate(ctx); kindOf(err) != api.NoLeader {
		t.Errorf("got %v behind a closed gate", err)
	}
	if _, err := leader.node.ReadIndex(t.Context()); kindOf(err) != api.NoLeader {
		t.Errorf("got %v behind a closed gate", err)
	}
	found := make(chan bool, 1)
	go func() {
		_, self, err := leader.node.Locate(t.Context())
		found <- self && err == nil
	}()
	leader.node.SetGate(true)
	if !<-found {
		t.Error("the opened gate was not found")
	}
	if leader.node.Touch() != 0 {
		t.Error("a leader hears itself")
	}
}

// TestReadAfterMemberChange: an entry of raft's own is the newest one, and no entry of ours
// comes after it.
func TestReadAfterMemberChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	leader := r.leader()
	eventually(t, "the level is raised, which is the last entry that nobody asked for", func() bool {
		return leader.machine.View().Level() == fsm.NewestLevel
	})
	f := leader.node.raft.AddNonvoter("s9", "127.0.0.1:1", 0, 0)
	if err := f.Error(); err != nil {
		t.Fatal(err)
	}
	if got := leader.machine.View().Index(); got >= f.Index() {
		t.Fatalf("an entry of ours at %d came after the change at %d", got, f.Index())
	}
	r.wantRead("a")
}

// TestSnapshotInstalled: a node that was away while the log was cut gets the state whole.
func TestSnapshotInstalled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	away := r.others(r.leader())[0]
	away.kill()
	r.write("b")
	leader := r.leader()
	conf := leader.node.raft.ReloadableConfig()
	conf.TrailingLogs = 0
	if err := leader.node.raft.ReloadConfig(conf); err != nil {
		t.Fatal(err)
	}
	if err := leader.node.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	away.open()
	r.wantRead("a b")
	// The level is raised when the last member is back: the two are compared at one index.
	var got, want *fsm.View
	eventually(t, "both are at one index", func() bool {
		got, want = away.machine.View(), leader.machine.View()
		return got.Index() == want.Index()
	})
	if got.Fingerprint() != want.Fingerprint() {
		t.Errorf("fingerprint %s at %d, want %s", got.Fingerprint(), got.Index(), want.Fingerprint())
	}
}
