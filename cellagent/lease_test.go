package cellagent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

func TestRenewalMovesDeadlineAndToken(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", 10*time.Second)
		pass(8 * time.Second)
		first := b.cluster.token("l1")
		l := b.cluster.lease("l1")
		l.Generation, l.Stamp = 2, stampOf(b.clock)
		b.cluster.put(l)
		synctest.Wait()
		if got := b.cluster.lease("l1"); got.BoundGeneration != 2 {
			t.Fatalf("bound generation after renewal is %d, want 2", got.BoundGeneration)
		}
		second := b.cluster.token("l1")
		if second == "" || second == first {
			t.Fatal("the renewal brought no new token")
		}
		pass(9 * time.Second)
		if !b.host.bound("l1") {
			t.Fatal("the renewed lease ended at its old deadline")
		}
		pass(2 * time.Second)
		if b.host.bound("l1") {
			t.Fatal("the renewed lease outlived its new deadline")
		}
		if b.host.binds != 1 {
			t.Fatalf("%d bindings were opened, want 1", b.host.binds)
		}
	})
}

func TestRepeatedSetDoesNotLengthen(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		l := b.grant("l1", 10*time.Second)
		for range 9 {
			pass(time.Second)
			have := b.cluster.lease("l1")
			have.Stamp = stampOf(b.clock) // whatever it says: the generation has not moved
			b.cluster.put(have)
		}
		pass(time.Second)
		if b.host.bound(l.ID) {
			t.Fatal("seeing the same generation again lengthened the lease")
		}
	})
}

func TestRefusedGrants(t *testing.T) {
	tests := []struct {
		name   string
		change func(b *bench, l *api.Lease)
		reason string
	}{
		{"stamp of another boot", func(_ *bench, l *api.Lease) { l.Stamp.BootID = "boot-0" }, reasonStaleStamp},
		{"no stamp", func(_ *bench, l *api.Lease) { l.Stamp = api.Stamp{} }, reasonStaleStamp},
		{"stamp just too old", func(_ *bench, l *api.Lease) { l.Stamp.BootTime -= int64(api.DeliveryBound) + 1 }, reasonStaleStamp},
		{"bound by an earlier agent", func(_ *bench, l *api.Lease) { l.BoundGeneration = 1 }, reasonAgentRestarted},
		{"ended before it came", func(_ *bench, l *api.Lease) { l.State, l.Reason = api.LeaseForcedTeardown, "bind_timeout" }, "bind_timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				t := b.t
				b.grant("l1", time.Minute, func(l *api.Lease) { tt.change(b, l) })
				synctest.Wait()
				if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason != tt.reason {
					t.Fatalf("lease is %s (%s), want torndown (%s)", got.State, got.Reason, tt.reason)
				}
				if b.host.binds != 0 {
					t.Fatal("it was bound")
				}
			})
		})
	}
}

func TestOldestStampThatIsTaken(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute, func(l *api.Lease) { l.Stamp.BootTime -= int64(api.DeliveryBound) })
		synctest.Wait()
		if !b.host.bound("l1") {
			t.Fatal("a grant as old as the delivery bound is not taken")
		}
	})
}

func TestStaleRenewalKeepsOldDeadline(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", 20*time.Second)
		pass(15 * time.Second)
		l := b.cluster.lease("l1")
		l.Generation = 2 // its stamp is that of the grant, 15 s old
		b.cluster.put(l)
		synctest.Wait()
		if got := b.cluster.lease("l1"); got.BoundGeneration != 1 {
			t.Fatalf("bound generation is %d, want 1: the renewal came too late", got.BoundGeneration)
		}
		pass(5 * time.Second)
		if b.host.bound("l1") {
			t.Fatal("a renewal that came too late lengthened the lease")
		}
	})
}

func TestOlderGenerationIsIgnored(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute, func(l *api.Lease) { l.Generation = 3 })
		synctest.Wait()
		b.grant("l1", time.Second, func(l *api.Lease) { l.Generation, l.BoundGeneration = 2, 3 })
		pass(2 * time.Second)
		if !b.host.bound("l1") {
			t.Fatal("an older generation shortened the lease")
		}
	})
}

func TestWarningIsNotTheEnd(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		l := b.grant("l1", time.Minute)
		synctest.Wait()
		l = b.cluster.lease(l.ID)
		l.State = api.LeaseRevokeWarning
		b.cluster.put(l)
		pass(time.Second)
		if !b.host.bound("l1") {
			t.Fatal("a warning tore the binding down")
		}
		l.State, l.Reason = api.LeaseForcedTeardown, "revoked"
		b.cluster.put(l)
		synctest.Wait()
		if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason != "revoked" {
			t.Fatalf("lease is %s (%s), want torndown (revoked)", got.State, got.Reason)
		}
	})
}

func TestFence(t *testing.T) {
	tests := []struct {
		name  string
		close func(ctx context.Context, id api.LeaseID) error
	}{
		{"teardown fails", func(context.Context, api.LeaseID) error { return errors.New("device is gone") }},
		{"teardown hangs until its bound", func(ctx context.Context, _ api.LeaseID) error { <-ctx.Done(); return ctx.Err() }},
		{"teardown ignores its bound", func(context.Context, api.LeaseID) error { time.Sleep(5 * time.Second); return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				t := b.t
				b.host.onClose = tt.close
				b.grant("l1", time.Minute)
				synctest.Wait()
				l := b.cluster.lease("l1")
				l.State, l.Reason = api.LeaseForcedTeardown, "revoked"
				b.cluster.put(l)
				pass(api.TeardownBound)
				if got := b.cluster.lease("l1"); got.State != api.LeaseFenced {
					t.Fatalf("lease is %s (%s), want fenced", got.State, got.Reason)
				}
				if _, _, err := b.agent.keeper.usable("l1"); api.KindOf(err) != api.LeaseFencedKind || api.Problem(err).Hint == "" {
					t.Fatalf("use of it is answered %v, want lease_fenced and what to do", err)
				}
				pass(10 * time.Second)
				if got := b.cluster.lease("l1"); got.State != api.LeaseFenced {
					t.Fatalf("it was retried: %s", got.State)
				}
			})
		})
	}
}

// A lease that was fenced while the agent ran is no failure of its closing; one that cannot be torn down as it closes is,
// and is said to be fenced.
func TestFencesAtTheEnd(t *testing.T) {
	for _, prompt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.host.prompt = prompt
			b.start()
			b.host.onClose = func(_ context.Context, id api.LeaseID) error {
				if id == "before" {
					return errors.New("device is gone")
				}
				return nil
			}
			b.grant("before", 2*time.Second)
			pass(4 * time.Second)
			if got := b.cluster.lease("before"); got.State != api.LeaseFenced {
				t.Fatalf("the lease is %s", got.State)
			}
			if err := b.agent.Close(); err != nil {
				t.Errorf("closed with %v", err)
			}
			b.start()
			b.host.onClose = func(context.Context, api.LeaseID) error { return errors.New("device is gone") }
			b.grant("now", time.Minute)
			pass(time.Second)
			err := b.agent.Close()
			if api.KindOf(err) != api.LeaseFencedKind || !strings.Contains(err.Error(), "lease now is fenced") || strings.Contains(err.Error(), "lease before") {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

func TestBindRefusedAndBindTooLate(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			t := b.t
			b.host.refuse = api.Refuse(api.Overloaded, "no bytes free")
			b.grant("l1", time.Minute)
			synctest.Wait()
			if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason[:len(reasonBindFailed)] != reasonBindFailed {
				t.Fatalf("lease is %s (%s), want torndown (bind_failed: ...)", got.State, got.Reason)
			}
		})
	})
	t.Run("expires while binding", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			t := b.t
			b.host.slow = 1500 * time.Millisecond
			b.grant("l1", time.Second)
			pass(3 * time.Second)
			if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason != reasonExpired || b.host.bound("l1") {
				t.Fatalf("lease is %s (%s), want torndown (expired) and nothing bound", got.State, got.Reason)
			}
		})
	})
	t.Run("stuck", func(t *testing.T) {
		inBubble(t, func(b *bench) {
			t := b.t
			b.host.slow = 8 * time.Second
			b.grant("l1", time.Minute)
			pass(6 * time.Second)
			if s := b.lastReport().Heartbeat.Stuck; s == "" {
				t.Fatal("a binding that takes longer than its bound is not called stuck")
			}
			pass(4 * time.Second)
			if s := b.lastReport().Heartbeat.Stuck; s != "" {
				t.Fatalf("still stuck: %s", s)
			}
		})
	})
}

func TestFullSetEndsWhatIsNotInIt(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute)
		b.grant("l2", time.Minute)
		synctest.Wait()
		active, _ := b.cluster.holder()
		b.cluster.change(func() { delete(b.cluster.leases, "l1") })
		b.cluster.kill(active)
		pass(time.Second)
		if b.host.bound("l1") || !b.host.bound("l2") {
			t.Fatalf("after a whole set without l1: l1 bound %t, l2 bound %t", b.host.bound("l1"), b.host.bound("l2"))
		}
	})
}

func TestOlderSetIsIgnored(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute)
		synctest.Wait()
		active, _ := b.cluster.holder()
		b.cluster.nodes[active].push <- api.Desired{Index: 5, Full: true}
		pass(time.Second)
		if !b.host.bound("l1") {
			t.Fatal("an older whole set tore a lease down")
		}
	})
}

func TestAsks(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute)
		synctest.Wait()
		first := b.cluster.token("l1")
		active, _ := b.cluster.holder()
		b.cluster.nodes[active].push <- api.Desired{Index: b.cluster.index, Asks: []api.Ask{
			{ID: "a1", LeaseID: "l1", Generation: 1},
			{ID: "a2", LeaseID: "l1", Generation: 2},
			{ID: "a3", LeaseID: "l9", Generation: 1},
		}}
		synctest.Wait()
		got := map[string]api.Minted{}
		for _, m := range b.cluster.minted {
			got[m.AskID] = m
		}
		if m := got["a1"]; m.Token == "" || m.Token == first || m.Problem != nil {
			t.Errorf("answer to a1 is %+v, want a fresh token", m)
		}
		if m := got["a2"]; m.Token != "" || m.Problem == nil || m.Problem.Kind != api.StaleGeneration {
			t.Errorf("answer to a2 is %+v, want stale_generation", m)
		}
		if m := got["a3"]; m.Token != "" || m.Problem == nil || m.Problem.Kind != api.NotFound {
			t.Errorf("answer to a3 is %+v, want not_found", m)
		}
	})
}

func TestCloseSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		b.grant("l1", time.Minute)
		b.place("r1", time.Minute)
		synctest.Wait()
		b.close()
		if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason != reasonAgentStopping {
			t.Errorf("lease is %s (%s), want torndown (agent_stopping)", got.State, got.Reason)
		}
		if got := b.cluster.run("r1"); got.State != api.RunLost {
			t.Errorf("run is %s, want lost", got.State)
		}
		b.close() // again
	})
}

func TestRestartReportsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		b.grant("l1", time.Minute)
		b.place("r1", time.Minute)
		synctest.Wait()
		for u := range b.cluster.nodes {
			b.cluster.kill(u) // it dies without a word
		}
		b.close()
		for u := range b.cluster.nodes {
			b.cluster.revive(u)
		}
		b.host.binds = 0
		b.start()
		defer b.close()
		pass(time.Second)
		for _, id := range []api.LeaseID{"l1", "r1-cpu", "r1-mem"} {
			if got := b.cluster.lease(id); got.State != api.LeaseTornDown || got.Reason != reasonAgentRestarted {
				t.Errorf("%s is %s (%s), want torndown (agent_restarted)", id, got.State, got.Reason)
			}
		}
		if got := b.cluster.run("r1"); got.State != api.RunLost {
			t.Errorf("run is %s, want lost", got.State)
		}
		if b.host.binds != 0 || b.runner.count() != 1 {
			t.Errorf("%d bindings and %d runs after the restart, want none more", b.host.binds, b.runner.count()-1)
		}
	})
}

func TestShorterRenewalEndsEarlier(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", 10*time.Second)
		b.grant("l2", time.Minute)
		synctest.Wait()
		l := b.cluster.lease("l2")
		l.Generation, l.TTLMs, l.Stamp = 2, 2000, stampOf(b.clock)
		b.cluster.put(l)
		pass(2 * time.Second)
		if b.host.bound("l2") || !b.host.bound("l1") {
			t.Fatalf("after 2 s: l1 bound %t, l2 bound %t, want only l1", b.host.bound("l1"), b.host.bound("l2"))
		}
	})
}
