package sim

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// quiet makes a world without faults and clients, waits for its leader and hands it to f.
func quiet(t *testing.T, f func(t *testing.T, w *World, leader *scheduler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Seed: 1}.withDefaults())
		defer w.close()
		for _, s := range w.seats {
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
		}
		if !w.within(leaderWithin, func() bool { return w.leader() != nil }) {
			t.Fatal("no leader")
		}
		f(t, w, w.leader())
	})
}

// TestVoteSurvivesCrash: whoever voted and died does not vote again in that term.
func TestVoteSurvivesCrash(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, leader *scheduler) {
		t.Helper()
		voter := w.others(leader.seat)[0]
		p := w.net.born("stranger")
		defer w.net.die(p)
		l := newLink(w.net, p, "stranger", w.linkAt)
		vote := func(candidate string) bool {
			t.Helper()
			var a raft.RequestVoteResponse
			err := l.RequestVote(raft.ServerID(voter.id()), raft.ServerAddress(raftAddr(voter.name)), &raft.RequestVoteRequest{
				RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(candidate), Addr: []byte(candidate)},
				Term:      1000, LastLogIndex: 1 << 40, LastLogTerm: 999, LeadershipTransfer: true,
			}, &a)
			if err != nil {
				t.Fatalf("ask for a vote: %v", err)
			}
			return a.Granted
		}
		if !vote("s1") {
			t.Fatal("the first candidate gets no vote")
		}
		voter.kill()
		if err := voter.start(); err != nil {
			t.Fatal(err)
		}
		if vote("s2") {
			t.Error("two candidates of one term got a vote of one scheduler")
		}
	})
}

// TestIsolatedLeaderServesNoRead: it may be another's state by now.
func TestIsolatedLeaderServesNoRead(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, leader *scheduler) {
		t.Helper()
		if _, err := leader.node.ReadIndex(t.Context()); err != nil {
			t.Fatalf("a leader that is heard serves no read: %v", err)
		}
		w.net.isolate(leader.seat.name, w.net.names())
		pass(t.Context(), 20*time.Millisecond) // what was on its way arrives; its lease has not run out
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r, err := leader.node.ReadIndex(ctx); err == nil {
			t.Errorf("a leader that nobody hears serves a read at %d", r.Index)
		}
	})
}

// TestSpareConfirmsNoRead: a leader that only a member without a vote still hears serves no read.
func TestSpareConfirmsNoRead(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, leader *scheduler) {
		t.Helper()
		spare := newSeat(w, "s4")
		w.seats = append(w.seats, spare)
		if !w.begin(w.seats[3:]) {
			t.FailNow()
		}
		if !w.within(time.Minute, func() bool { return w.incomplete(leader) == "" }) {
			t.Fatal(w.incomplete(leader))
		}
		if v := leader.voters(); len(v) != 3 {
			t.Fatalf("the voters are %v", v)
		}
		for _, s := range w.others(leader.seat) {
			if s != spare {
				w.net.isolate(s.name, w.net.names())
			}
		}
		pass(t.Context(), 20*time.Millisecond) // what was on its way arrives; its lease has not run out
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r, err := leader.node.ReadIndex(ctx); err == nil {
			t.Errorf("a leader that no voter hears serves a read at %d", r.Index)
		}
	})
}

// TestGoneBehindCut: whoever does not hear the end of a process, for a cut, does not take it for
// gone; whoever hears it does.
func TestGoneBehindCut(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, leader *scheduler) {
		t.Helper()
		others := w.others(leader.seat)
		mend := w.net.cut(leader.seat.name, others[0].name)
		leader.seat.kill()
		if gone := others[0].alive().link.Gone(t.Context(), leader.proc.id, 100*time.Millisecond); gone {
			t.Error("its end is known behind a cut")
		}
		if gone := others[1].alive().link.Gone(t.Context(), leader.proc.id, 100*time.Millisecond); !gone {
			t.Error("its end is not known where it is heard")
		}
		mend()
		if gone := others[0].alive().link.Gone(t.Context(), leader.proc.id, 100*time.Millisecond); !gone {
			t.Error("its end is not known once the cut is mended")
		}
	})
}

// TestHangingDisk: a write on a disk that hangs is pending, and the node is told of it; it
// returns when the disk does, or its process dies.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDice(1)
		n := newNetwork(d)
		dev := newDisk(d)
		p := n.born("s1")
		m := dev.mount(p)
		var told []time.Duration
		m.stall = func(d time.Duration) { told = append(told, d) }
		mend := dev.ail(ail{hangs: true})
		done := make(chan error, 1)
		go func() { done <- m.SetUint64([]byte("term"), 7) }()
		time.Sleep(3 * time.Second)
		if got := m.Pending(); got != 3*time.Second {
			t.Errorf("a write is pending for %s", got)
		}
		mend()
		if err := <-done; err != nil || m.Pending() != 0 {
			t.Errorf("the write ended with %v and is pending for %s", err, m.Pending())
		}
		if len(told) != 3 || told[0] != stallAfter || told[2] != 3*time.Second {
			t.Errorf("told of %v", told)
		}
		dev.ail(ail{hangs: true})
		go func() { done <- m.SetUint64([]byte("term"), 8) }()
		time.Sleep(time.Second)
		n.die(p)
		dev.crash()
		if err := <-done; err == nil {
			t.Error("the dead write")
		}
		if v, err := dev.mount(n.born("s1")).GetUint64([]byte("term")); err != nil || v != 7 {
			t.Errorf("the disk has %d, %v", v, err)
		}
	})
}

// TestDeafFollowerDeposesNobody: one that the leader does not reach leaves it in its place, as
// long as the others hear it.
func TestDeafFollowerDeposesNobody(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, leader *scheduler) {
		t.Helper()
		pass(t.Context(), 5*time.Second)
		term := leader.node.State().Term
		w.net.cut(leader.seat.name, w.others(leader.seat)[0].name)
		pass(t.Context(), 10*time.Second)
		if now := leader.node.State().Term; !leader.leads() || now != term {
			t.Errorf("it led term %d; it leads: %v, and the term is %d", term, leader.leads(), now)
		}
	})
}

// TestHungLeaderIsReplaced: its heartbeats need no disk, and would keep it leader for ever.
func TestHungLeaderIsReplaced(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, leader *scheduler) {
		t.Helper()
		mend := leader.seat.drive().ail(ail{hangs: true})
		done := make(chan error, 1)
		go func() {
			_, err := leader.node.Propose(t.Context(), fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}})
			done <- err
		}()
		next := func() bool {
			return slices.ContainsFunc(w.others(leader.seat), func(s *seat) bool { return s.alive().leads() })
		}
		if !w.within(8*time.Second, next) {
			t.Error("nobody else leads")
		}
		mend()
		if err := <-done; err == nil {
			t.Error("what its disk did not take is committed")
		}
	})
}

// TestBarrierWaits: what was proposed before it is applied when it returns.
func TestBarrierWaits(t *testing.T) {
	quiet(t, func(t *testing.T, _ *World, leader *scheduler) {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			_, err := leader.node.Propose(t.Context(), fsm.Entry{Commands: []fsm.Command{
				fsm.CreateTenant{Actor: "operator/root", Tenant: "behind", Quota: api.NoQuota()},
			}})
			done <- err
		}()
		synctest.Wait() // it is on its way to the disk
		if _, err := leader.node.Barrier(t.Context(), fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}}); err != nil {
			t.Fatal(err)
		}
		if _, there := leader.machine.View().Tenant("behind"); !there {
			t.Error("the barrier returned before what was proposed in front of it")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestStandstillServesNoRead: a leader stands still, and the others elect another one. When it
// goes on, what it reads first are answers that were under way before: none of them confirms
// that it leads now, and a stale read says how old it is.
func TestStandstillServesNoRead(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, _ *scheduler) {
		t.Helper()
		for i := range 120 {
			w.net.heal()
			// So slow that some answer is always under way.
			w.net.storm(weather{low: 20 * time.Millisecond, high: 30 * time.Millisecond})
			if !w.within(leaderWithin, func() bool { return w.leader() != nil }) {
				t.Fatal("no leader")
			}
			pass(t.Context(), time.Second)
			readAcrossStandstill(t, w, w.leader(), i)
		}
	})
}

// readAcrossStandstill asks a leader for a read that comes to it while it stands still and another
// one is elected.
func readAcrossStandstill(t *testing.T, w *World, old *scheduler, i int) {
	t.Helper()
	if old == nil {
		t.Fatal("no leader")
	}
	tenant := func(n *scheduler, name string) error {
		_, err := n.node.Propose(t.Context(), fsm.Entry{Commands: []fsm.Command{
			fsm.CreateTenant{Actor: "operator/root", Tenant: api.TenantID(name), Quota: api.NoQuota()},
		}})
		return err
	}
	old.proc.stand()
	// Its main loop stops in the middle of a write.
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := tenant(old, "last-"+itoa(i)); err != nil {
			w.log.Debug("begun before the standstill", "error", err) // committed or not
		}
	}()
	pass(t.Context(), 60*time.Millisecond) // what was under way to it waits there
	w.net.isolate(old.seat.name, w.net.names())
	next := func() *scheduler {
		for _, s := range w.others(old.seat) {
			if n := s.alive(); n.leads() {
				return n
			}
		}
		return nil
	}
	if !w.within(leaderWithin, func() bool { return next() != nil }) {
		t.Fatal("nobody else leads")
	}
	if err := tenant(next(), "next-"+itoa(i)); err != nil {
		t.Fatal(err)
	}
	at, committed := next().machine.View().Index(), time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	read := make(chan struct{})
	go func() {
		defer close(read)
		if r, err := old.node.ReadIndex(ctx); err == nil && r.Index < at {
			t.Errorf("a leader that stood still serves a read at %d, %d was committed before", r.Index, at)
		}
	}()
	synctest.Wait() // the question is there before it goes on
	old.proc.goOn()
	for range 100 { // it is cut off, and finds out only with time that it leads no more
		if age := old.node.Age(); age >= 0 && age < time.Since(committed) && old.machine.View().Index() < at {
			t.Errorf("a state that is %s behind says that it is at most %s old", time.Since(committed), age)
			break
		}
		pass(t.Context(), 10*time.Millisecond)
	}
	<-read
	<-done
}
