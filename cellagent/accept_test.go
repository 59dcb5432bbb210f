package cellagent

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/ledger"
)

// crash ends the agent as a kill does: nothing that it does on its way out counts.
func (b *bench) crash() {
	b.t.Helper()
	kept := bytes.Clone(b.ledger())
	b.cluster.setJudge(func(string, api.Report) (*api.ReportAnswer, error) { return nil, errors.New("the agent is dead") })
	b.close()
	b.cluster.setJudge(nil)
	b.disk = ledger.Memory{}
	if err := errors.Join(b.disk.Prepare(kept), b.disk.Swap(nil)); err != nil {
		b.t.Fatal(err)
	}
}

// ledger is what is kept at this moment.
func (b *bench) ledger() []byte {
	content, err := b.disk.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

// fencing has the schedulers say their numbers, as they do.
func (b *bench) fencing(cluster, epoch uint64) {
	b.cluster.change(func() { b.cluster.recoveries, b.cluster.fencing = cluster, epoch })
}

func epoch(n uint64) func(*api.Lease) { return func(l *api.Lease) { l.Epoch = n } }

// TestFloor: what is not newer than what the cell has accepted is refused, also by the next
// agent, whoever offers it; what is newer is bound.
func TestFloor(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			t := b.t
			b.fencing(0, 19)
			b.grant("seen", time.Minute, epoch(20))
			pass(time.Second)
			if restarted {
				b.crash()
				b.cluster.change(func() { delete(b.cluster.leases, "seen") })
				b.start()
				pass(time.Second)
			}
			b.grant("old", time.Minute, epoch(19))
			b.fencing(0, 20)
			b.grant("new", time.Minute, epoch(21))
			pass(time.Second)
			if l := b.cluster.lease("old"); l.State != api.LeaseTornDown || l.Reason != reasonStaleEpoch || b.host.bound("old") {
				t.Errorf("restarted %t: a grant below the floor is %s (%s), bound %t", restarted, l.State, l.Reason, b.host.bound("old"))
			}
			if !b.host.bound("new") {
				t.Errorf("restarted %t: a newer grant is not bound", restarted)
			}
		})
	}
}

// TestOutdatedSet: a scheduler of before a recovery, or one that offers a state of before, is not
// listened to, also by an agent that has never met the others; its session is given up.
func TestOutdatedSet(t *testing.T) {
	for name, old := range map[string]api.Desired{
		"of before a recovery": {ClusterEpoch: 0, Epoch: 1 << 40},
		"of before a grant":    {ClusterEpoch: 1, Epoch: 29},
	} {
		for _, restarted := range []bool{false, true} {
			inBubble(t, func(b *bench) {
				t := b.t
				b.fencing(1, 29)
				b.grant("l1", time.Hour, epoch(30))
				pass(time.Second)
				if restarted {
					b.crash()
					b.start()
					b.fencing(1, 30)
					b.grant("l2", time.Hour, epoch(31))
					pass(time.Second)
				}
				held := b.held()
				active, _ := b.cluster.holder()
				old.Index, old.Full = b.cluster.index+100, true
				old.Leases = []api.Lease{{
					ID: "theirs", CellID: "local-1", Tenant: "other", Kind: api.KindMem, Use: api.UseRegion, Amount: 4096, State: api.LeaseActive,
					Generation: 1, Epoch: 1 << 39, TTLMs: 60000, Stamp: stampOf(b.clock),
				}}
				b.cluster.nodes[active].push <- old
				pass(time.Second)
				if b.host.bound("theirs") || !slices.Equal(b.held(), held) {
					t.Errorf("%s, restarted %t: held is %v, was %v", name, restarted, b.held(), held)
				}
				if now, _ := b.cluster.holder(); now == active || now == "" {
					t.Errorf("%s, restarted %t: the session is at %q, was at %q", name, restarted, now, active)
				}
			})
		}
	}
}

func (b *bench) held() []api.LeaseID {
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	ids := make([]api.LeaseID, 0, len(b.host.open))
	for id := range b.host.open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// TestOlderSchedulers: a scheduler of the release before says nothing of its numbers, and is heard
// all the same; what it offers is held against the floor.
func TestOlderSchedulers(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.fencing(0, 29)
		b.grant("l1", time.Minute, epoch(30))
		pass(time.Second)
		b.fencing(0, 0)
		b.grant("l2", time.Minute, epoch(31))
		b.grant("l3", time.Minute, epoch(12))
		pass(time.Second)
		if !b.host.bound("l1") || !b.host.bound("l2") || b.host.bound("l3") {
			t.Errorf("bound are %v, want l1 and l2", b.held())
		}
	})
}

// TestAcceptedBefore: a grant that was accepted by an agent that died before it could say so is
// bound by the next one, but not for longer than it was accepted for.
func TestAcceptedBefore(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			if len(r.Bound) > 0 {
				return nil, errors.New("lost")
			}
			return nil, nil
		})
		b.fencing(0, 6)
		l := b.grant("l1", 20*time.Second, epoch(7))
		pass(time.Second)
		until := b.clock.Now() + int64(19*time.Second)
		b.crash()
		b.host.open = map[api.LeaseID]*fakeBinding{}
		pass(2 * time.Second)
		b.start()
		pass(3 * time.Second)
		if !b.host.bound("l1") || b.cluster.lease("l1").BoundGeneration != l.Generation {
			t.Fatalf("it is not bound again: %+v", b.cluster.lease("l1"))
		}
		pass(15 * time.Second)
		if at := b.host.closedAt("l1"); b.host.bound("l1") || at > until+int64(time.Second) {
			t.Errorf("bound %t, closed %s after its end", b.host.bound("l1"), time.Duration(at-until))
		}
	})
}

// TestLowerGeneration: a generation that an agent before this one went beyond is refused.
func TestLowerGeneration(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.fencing(0, 6)
		l := b.grant("l1", time.Minute, epoch(7))
		pass(time.Second)
		l.Generation, l.Stamp = 2, stampOf(b.clock)
		b.cluster.put(l)
		pass(time.Second)
		b.crash()
		l.Generation, l.BoundGeneration, l.Stamp = 1, 0, stampOf(b.clock)
		b.cluster.put(l)
		b.host.open = map[api.LeaseID]*fakeBinding{}
		b.start()
		pass(time.Second)
		if got := b.cluster.lease("l1"); b.host.bound("l1") || got.Reason != reasonStaleGeneration {
			t.Errorf("bound %t, it is %s (%s)", b.host.bound("l1"), got.State, got.Reason)
		}
	})
}

// TestFenceOutlivesAgents: a fence is said until it is heard, is counted by every later agent, is
// never torn down by itself, and goes when the schedulers do not show it any more.
func TestFenceOutlivesAgents(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.host.onClose = func(context.Context, api.LeaseID) error { return errors.New("it does not go away") }
		b.fencing(0, 6)
		b.grant("l1", 2*time.Second, epoch(7))
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			if len(r.Ended) > 0 {
				return nil, errors.New("lost")
			}
			return nil, nil
		})
		pass(4 * time.Second)
		if got := b.cluster.lease("l1"); got.State.Terminal() {
			t.Fatalf("its end was heard: %s", got.State)
		}
		b.crash()
		b.start()
		pass(time.Second)
		if got := b.cluster.lease("l1"); got.State != api.LeaseFenced || !slices.Equal(b.host.fences(), []api.LeaseID{"l1"}) {
			t.Fatalf("with the next agent it is %s (%s), counted are %v", got.State, got.Reason, b.host.fences())
		}
		// The state shows it, and an agent later does not any more.
		b.cluster.change(func() { b.cluster.fenced = []api.Lease{b.cluster.leases["l1"]}; b.cluster.tellFences = true })
		pass(time.Second)
		b.crash()
		b.start()
		pass(time.Second)
		if got := b.host.fences(); !slices.Equal(got, []api.LeaseID{"l1"}) {
			t.Fatalf("with the third agent %v are counted", got)
		}
		b.crash()
		b.cluster.change(func() { b.cluster.fenced = nil })
		b.host.onClose = nil
		b.start()
		pass(time.Second)
		if got := b.host.fences(); len(got) != 0 {
			t.Fatalf("after it was lifted %v are counted", got)
		}
		b.crash()
		b.host.fenced = nil
		b.cluster.change(func() { b.cluster.tellFences = false })
		b.start()
		pass(time.Second)
		if got := b.host.fences(); len(got) != 0 {
			t.Errorf("with the agent after that %v are counted", got)
		}
	})
}

// TestUnheardFenceIsNotLifted: that the schedulers do not show a fence of which they have not
// heard says nothing.
func TestUnheardFenceIsNotLifted(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.host.onClose = func(context.Context, api.LeaseID) error { return errors.New("it does not go away") }
		b.cluster.change(func() { b.cluster.tellFences = true })
		b.grant("l1", 2*time.Second)
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			if len(r.Ended) > 0 {
				return nil, errors.New("lost")
			}
			return nil, nil
		})
		pass(4 * time.Second)
		b.crash()
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			if len(r.Ended) > 0 {
				return nil, errors.New("lost")
			}
			return nil, nil
		})
		b.start()
		pass(5 * time.Second)
		if got := b.host.fences(); !slices.Equal(got, []api.LeaseID{"l1"}) {
			t.Errorf("counted are %v", got)
		}
	})
}

// TestForgottenFence: an agent whose ledger was lost counts what the state says is fenced on it,
// and takes nothing that was granted before it registered.
func TestForgottenFence(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.fencing(0, 40)
		pass(time.Second)
		b.crash()
		b.disk = ledger.Memory{}
		b.cluster.change(func() {
			b.cluster.tellFences = true
			b.cluster.fenced = []api.Lease{{ID: "f1", CellID: "local-1", Tenant: "acme", Kind: api.KindCPU, Amount: 700, State: api.LeaseFenced, Epoch: 9, Generation: 1}}
		})
		b.grant("before", time.Minute, epoch(40))
		b.start()
		pass(time.Second)
		b.fencing(0, 40)
		b.grant("after", time.Minute, epoch(41))
		pass(time.Second)
		if got := b.host.fences(); !slices.Equal(got, []api.LeaseID{"f1"}) {
			t.Errorf("counted are %v", got)
		}
		if b.host.bound("before") || b.cluster.lease("before").Reason != reasonStaleEpoch || !b.host.bound("after") {
			t.Errorf("bound are %v, want after alone; before ended for %q", b.held(), b.cluster.lease("before").Reason)
		}
	})
}

// fullDisk refuses what is written while it is full, once it is let go where that is to be waited for.
type fullDisk struct {
	ledger.Memory
	full          bool
	entered, wait chan struct{}
}

func (d *fullDisk) Append(p []byte) error {
	if d.wait != nil {
		close(d.entered)
		<-d.wait
	}
	if d.full {
		return errors.New("no space left")
	}
	return d.Memory.Append(p)
}

// TestUnkeptGrantIsNotBound: what cannot be written down is refused, and the cell says that it is
// stuck; what it holds it keeps, until the end that it has.
func TestUnkeptGrantIsNotBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		disk := &fullDisk{}
		b.keep = disk
		b.start()
		defer b.close()
		l := b.grant("l1", 10*time.Second)
		pass(time.Second)
		disk.full = true
		b.grant("l2", time.Minute)
		l.Generation, l.Stamp = 2, stampOf(b.clock)
		b.cluster.put(l)
		pass(time.Second)
		if got := b.cluster.lease("l2"); b.host.bound("l2") || got.State != api.LeaseTornDown {
			t.Errorf("l2 is %s (%s), bound %t", got.State, got.Reason, b.host.bound("l2"))
		}
		if got := b.cluster.lease("l1"); !b.host.bound("l1") || got.BoundGeneration == 2 {
			t.Errorf("l1: bound %t, %+v", b.host.bound("l1"), got)
		}
		if b.agent.keeper.stuck() == "" {
			t.Error("it does not say that it is stuck")
		}
		pass(10 * time.Second)
		if b.host.bound("l1") {
			t.Error("a renewal that was not kept lengthened a lease")
		}
	})
}

// TestLedgerThatHangsHoldsNobodyUp: a heartbeat that asks why the disk fails may wait for it; leases end
// meanwhile.
func TestLedgerThatHangsHoldsNobodyUp(t *testing.T) {
	disk := &fullDisk{}
	book, _, err := ledger.Open(disk, "boot-1")
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper(&keeper{ledger: book, clock: newFakeClock()})
	disk.full = true
	if err := book.Accept(ledger.Floor{Epoch: 1}, nil); err == nil {
		t.Fatal("it is kept on a full disk")
	}
	disk.entered, disk.wait = make(chan struct{}), make(chan struct{})
	said := make(chan string)
	go func() { said <- k.stuck() }()
	<-disk.entered
	if !k.mu.TryLock() {
		t.Error("everything waits for the disk")
	} else {
		k.mu.Unlock()
	}
	close(disk.wait)
	if <-said == "" {
		t.Error("it does not say that it is stuck")
	}
}

// TestDeadlineIsTold: a binding knows its own end, and that of a renewal.
func TestDeadlineIsTold(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		l := b.grant("l1", 10*time.Second)
		synctest.Wait()
		until := func() int64 {
			b.host.mu.Lock()
			defer b.host.mu.Unlock()
			k := b.host.open["l1"]
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.until
		}
		if want := l.Stamp.BootTime + int64(l.TTL()); until() != want {
			t.Errorf("the binding ends at %d, want %d", until(), want)
		}
		pass(5 * time.Second)
		l.Generation, l.Stamp = 2, stampOf(b.clock)
		b.cluster.put(l)
		synctest.Wait()
		if want := l.Stamp.BootTime + int64(l.TTL()); until() != want {
			t.Errorf("renewed the binding ends at %d, want %d", until(), want)
		}
	})
}

func block(l *api.Lease) { l.Kind, l.Use = api.KindBlock, "" }

// TestBlockOutlivesItsAgent: a block stays with its lease when the agent is killed or restarted in
// the same boot, until the deadline that it had; the next agent says so again, with a token of its
// own. Everything else ends as before.
func TestBlockOutlivesItsAgent(t *testing.T) {
	for _, killed := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			t := b.t
			b.fencing(0, 101)
			l := b.grant("block", 30*time.Second, block)
			b.grant("mem", 30*time.Second, epoch(101))
			pass(time.Second)
			first, until := b.cluster.token("block"), l.Stamp.BootTime+int64(l.TTL())
			if killed {
				b.crash()
				delete(b.host.open, "mem")
			} else {
				b.close()
			}
			if !b.host.bound("block") {
				t.Fatalf("killed %t: the block is gone with its agent", killed)
			}
			binds := b.host.binds
			pass(5 * time.Second)
			b.start()
			pass(2 * time.Second)
			got := b.cluster.lease("block")
			if got.State != api.LeaseActive || b.host.binds != binds {
				t.Errorf("killed %t: it is %s (%s), bound anew %d times", killed, got.State, got.Reason, b.host.binds-binds)
			}
			if token := b.cluster.token("block"); token == first || token == "" {
				t.Errorf("killed %t: there is no token of the new agent", killed)
			}
			if mem := b.cluster.lease("mem"); mem.State != api.LeaseTornDown {
				t.Errorf("killed %t: a region is %s", killed, mem.State)
			}
			pass(30 * time.Second)
			if at := b.host.closedAt("block"); b.host.bound("block") || at < until || at > until+int64(time.Second) {
				t.Errorf("killed %t: bound %t, closed %s after its end", killed, b.host.bound("block"), time.Duration(at-until))
			}
		})
	}
}

// TestKeptBlockEndsCutOff: a block that was kept ends at its deadline, whether or not a scheduler
// was ever reached since, and nobody is served from it before one was.
func TestKeptBlockEndsCutOff(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		l := b.grant("block", 30*time.Second, block)
		pass(time.Second)
		b.crash()
		for u := range b.cluster.nodes {
			b.cluster.kill(u)
		}
		b.start()
		pass(time.Second)
		if _, _, _, err := b.agent.keeper.find("block"); api.KindOf(err) != api.NotFound || !b.host.bound("block") {
			t.Errorf("bound %t, it is found: %v", b.host.bound("block"), err)
		}
		pass(30 * time.Second)
		until := l.Stamp.BootTime + int64(l.TTL())
		if at := b.host.closedAt("block"); b.host.bound("block") || at > until+int64(time.Second) {
			t.Errorf("bound %t, closed %s after its end", b.host.bound("block"), time.Duration(at-until))
		}
		for u := range b.cluster.nodes {
			b.cluster.revive(u)
		}
		pass(10 * time.Second)
	})
}

// TestKeptBlockWhoseEndComesAtTheStart: a block that the host has found, and whose deadline comes before its
// keeper looks, is torn down, not counted for ever.
func TestKeptBlockWhoseEndComesAtTheStart(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("block", 30*time.Second, block)
		pass(time.Second)
		b.crash()
		for u := range b.cluster.nodes {
			b.cluster.kill(u)
		}
		pass(30 * time.Second) // the host has looked before
		b.start()
		pass(time.Second)
		if b.host.bound("block") {
			t.Error("it is still there")
		}
		for u := range b.cluster.nodes {
			b.cluster.revive(u)
		}
		pass(10 * time.Second)
		b.mustBe("block", api.LeaseTornDown)
	})
}

// TestKeptBlockIsGivenUp: one that was revoked, or is not desired any more, or was renewed
// meanwhile, is what the schedulers say.
func TestKeptBlockIsGivenUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("revoked", time.Minute, block)
		b.grant("dropped", time.Minute, block)
		renewed := b.grant("renewed", 20*time.Second, block)
		pass(time.Second)
		b.crash()
		renewed.Generation, renewed.BoundGeneration, renewed.Stamp = 2, 1, stampOf(b.clock)
		b.cluster.put(renewed)
		b.cluster.change(func() {
			l := b.cluster.leases["revoked"]
			l.State, l.Reason = api.LeaseForcedTeardown, "revoked"
			b.cluster.leases["revoked"] = l
			delete(b.cluster.leases, "dropped")
		})
		b.start()
		pass(2 * time.Second)
		if got := b.held(); !slices.Equal(got, []api.LeaseID{"renewed"}) {
			t.Errorf("held are %v", got)
		}
		if got := b.cluster.lease("renewed"); got.BoundGeneration != 2 {
			t.Errorf("the renewal is not bound: %+v", got)
		}
		pass(17 * time.Second)
		if !b.host.bound("renewed") {
			t.Error("the renewal did not lengthen it")
		}
	})
}

// TestOtherBootKeepsNothing: the clock of another boot says nothing of a deadline.
func TestOtherBootKeepsNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("block", time.Minute, block)
		pass(time.Second)
		b.crash()
		b.clock.boot = "boot-2"
		b.start()
		pass(2 * time.Second)
		if got := b.cluster.lease("block"); got.State != api.LeaseTornDown || got.Reason != reasonAgentRestarted {
			t.Errorf("it is %s (%s)", got.State, got.Reason)
		}
	})
}
