package cellagent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

func TestLeaseIsBoundReportedAndFreed(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute)
		synctest.Wait()
		got := b.cluster.lease("l1")
		if got.BoundGeneration != 1 || got.Coordinate != "https://127.0.0.1:7500/v1/leases/l1" {
			t.Fatalf("lease after grant is %+v, want it bound with a coordinate, without time passing", got)
		}
		if b.cluster.token("l1") == "" {
			t.Fatal("the bound report carries no token")
		}
		got.State, got.Reason = api.LeaseForcedTeardown, "released"
		b.cluster.put(got)
		synctest.Wait()
		if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason != "released" {
			t.Fatalf("lease after its end is %s (%s), want torndown (released)", got.State, got.Reason)
		}
		if b.host.bound("l1") {
			t.Fatal("binding is still open")
		}
	})
}

func TestExpiryWhileCutOff(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", 5*time.Second)
		synctest.Wait()
		granted := b.clock.Now()
		for _, u := range []string{"https://s1", "https://s2", "https://s3"} {
			b.cluster.kill(u)
		}
		pass(5*time.Second - time.Millisecond)
		if !b.host.bound("l1") {
			t.Fatal("binding closed before its deadline")
		}
		pass(time.Second)
		if b.host.bound("l1") {
			t.Fatal("binding outlived its deadline")
		}
		if late := b.host.closedAt("l1") - granted - int64(5*time.Second); late > int64(50*time.Millisecond) {
			t.Fatalf("teardown was %s late", time.Duration(late))
		}
		b.cluster.revive("https://s2")
		pass(10 * time.Second)
		if got := b.cluster.lease("l1"); got.State != api.LeaseTornDown || got.Reason != "expired" {
			t.Fatalf("after the cut the lease is %s (%s), want torndown (expired)", got.State, got.Reason)
		}
	})
}

func TestSuspendEndsLeaseAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute)
		synctest.Wait()
		b.clock.jump(2 * time.Minute)
		synctest.Wait()
		if b.host.bound("l1") {
			t.Fatal("a lease outlived its deadline through a suspend")
		}
	})
}
