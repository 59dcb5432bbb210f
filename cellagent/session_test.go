package cellagent

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/grafos/grafos/api"
)

func TestOneActiveAndOneStandby(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(10 * time.Second)
		active, standby := b.cluster.holder()
		if active == "" || standby == "" || active == standby {
			t.Fatalf("active %q, standby %q: want two different ones", active, standby)
		}
		watches := 0
		for _, n := range b.cluster.nodes {
			watches += len(n.watches)
		}
		if watches != 2 {
			t.Fatalf("%d sessions were opened, want 2", watches)
		}
	})
}

func TestStandbyIsPromotedAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l0", time.Minute)
		pass(time.Second)
		for round := range 4 {
			active, standby := b.cluster.holder()
			before := b.cluster.reportsAt(standby)
			b.cluster.kill(active)
			synctest.Wait() // no time passes
			if now, _ := b.cluster.holder(); now != standby {
				t.Fatalf("round %d: after the end of %s the session is at %q, want at %s at once", round, active, now, standby)
			}
			last := b.cluster.nodes[standby].watches
			if w := last[len(last)-1]; w.After < b.cluster.lease("l0").Modified || w.Standby {
				t.Fatalf("the promoted session asks for what is after %d (standby %t)", w.After, w.Standby)
			}
			if b.cluster.reportsAt(standby) == before {
				t.Fatal("the new session heard nothing at once")
			}
			b.cluster.revive(active)
			pass(10 * time.Second)
		}
	})
}

// TestPromotedSessionHasTime: the connection of a standby is not given up because its scheduler, which thousands come
// to in that moment, opens the session late; it is where it does not open it at all.
func TestPromotedSessionHasTime(t *testing.T) {
	for slow, stays := range map[time.Duration]bool{warmBound - time.Millisecond: true, warmBound + time.Second: false} {
		inBubble(t, func(b *bench) {
			t := b.t
			pass(time.Second)
			active, standby := b.cluster.holder()
			b.cluster.mu.Lock()
			b.cluster.nodes[standby].slow = slow
			b.cluster.mu.Unlock()
			b.cluster.kill(active)
			pass(warmBound + 10*time.Millisecond)
			if now, _ := b.cluster.holder(); (now == standby) != stays || now == "" {
				t.Errorf("after %s at %s, which opens after %s, the session is at %q", warmBound, standby, slow, now)
			}
		})
	}
}

func TestReconnectsAfterLosingEverybody(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		for u := range b.cluster.nodes {
			b.cluster.kill(u)
		}
		pass(time.Minute)
		b.cluster.revive("https://s3")
		pass(3 * retryMost / 2) // one wait, with its jitter
		if active, _ := b.cluster.holder(); active != "https://s3" {
			t.Fatalf("active is %q, want the only scheduler there is", active)
		}
		b.cluster.revive("https://s1")
		pass(2 * 3 * retryMost / 2) // two of them are down
		if _, standby := b.cluster.holder(); standby != "https://s1" {
			t.Fatalf("standby is %q, want the other one", standby)
		}
	})
}

func TestLearnsSchedulers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "https://s1")
		b.start()
		defer b.close()
		if _, standby := b.cluster.holder(); standby != "" {
			t.Fatalf("a standby at %s, with one scheduler", standby)
		}
		b.cluster.mu.Lock()
		b.cluster.nodes["https://s9"] = &node{url: "https://s9", up: true, down: make(chan struct{})}
		b.cluster.mu.Unlock()
		b.grant("l1", time.Minute) // some news
		synctest.Wait()
		if _, standby := b.cluster.holder(); standby != "https://s9" {
			t.Fatalf("standby is %q, want the one that was learned", standby)
		}
	})
}

func TestClosingMessagePromotes(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		active, standby := b.cluster.holder()
		b.cluster.nodes[active].push <- api.Desired{Index: b.cluster.index, Closing: "has not heard its leader"}
		synctest.Wait()
		if now, _ := b.cluster.holder(); now != standby {
			t.Fatalf("the session is at %q, want at %s", now, standby)
		}
	})
}

func TestRegistersUntilAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		tries := 0
		b.cluster.register = func() error {
			if tries++; tries < 20 {
				return api.Refuse(api.NoLeader, "not yet")
			}
			return nil
		}
		b.start()
		defer b.close()
		pass(2 * time.Minute)
		if active, _ := b.cluster.holder(); active == "" || tries != 20 {
			t.Fatalf("after %d tries the session is at %q", tries, active)
		}
	})
}

func TestRevokedIdentityStops(t *testing.T) {
	for _, kind := range []api.Kind{api.IdentityRevoked, api.IdentityMismatch} {
		t.Run("register "+string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.cluster.register = func() error { return api.Refuse(kind, "no") }
				b.start()
				defer b.close()
				if err := b.agent.Wait(); api.KindOf(err) != kind {
					t.Fatalf("wait answers %v, want %s", err, kind)
				}
			})
		})
		t.Run("report "+string(kind), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				t := b.t
				b.cluster.setJudge(func(string, api.Report) (*api.ReportAnswer, error) { return nil, api.Refuse(kind, "no") })
				if err := b.agent.Wait(); api.KindOf(err) != kind {
					t.Fatalf("wait answers %v, want %s", err, kind)
				}
			})
		})
	}
}

func TestStaleEpochRegistersAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("l1", time.Minute)
		synctest.Wait()
		b.cluster.change(func() { // a recovery from an older state: indexes go back, epochs jump ahead
			b.cluster.epoch, b.cluster.agents, b.cluster.index = b.cluster.epoch+5, nil, 3
		})
		pass(5 * time.Second)
		b.grant("l2", time.Minute)
		synctest.Wait()
		if got := b.cluster.lease("l2"); got.BoundGeneration != 1 {
			t.Fatal("nothing is bound after the epoch moved")
		}
		if !b.host.bound("l1") {
			t.Fatal("what was held was lost by registering again")
		}
		if r := b.lastReport(); r.Epoch != b.cluster.epoch {
			t.Fatalf("reports speak in epoch %d, want %d", r.Epoch, b.cluster.epoch)
		}
	})
}

func TestHeartbeats(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.cluster.mu.Lock()
		b.cluster.reports = nil
		b.cluster.mu.Unlock()
		pass(10*time.Second + time.Millisecond)
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		if n := len(b.cluster.reports); n < 39 || n > 41 {
			t.Errorf("%d heartbeats in 10 s, want one every 250 ms", n)
		}
		last := uint64(0)
		for _, r := range b.cluster.reports {
			h := r.Heartbeat
			if h == nil || h.Seq <= last || h.Stamp.BootID != "boot-1" {
				t.Fatalf("heartbeat %+v after sequence %d", h, last)
			}
			last = h.Seq
		}
	})
}

func TestHeartbeatsGoOnWhileAReportHangs(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		beats := 0
		hang := make(chan struct{})
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			beats++
			if len(r.Bound) > 0 {
				<-hang // waits for a leader, and does not look at its context
			}
			return nil, nil
		})
		time.AfterFunc(time.Second, func() { close(hang) })
		b.grant("l1", time.Minute)
		pass(5 * time.Second)
		if got := b.cluster.lease("l1"); got.BoundGeneration != 1 {
			t.Fatal("the bound report was lost")
		}
		if beats < 10 {
			t.Fatalf("%d reports in 5 s", beats)
		}
	})
}

func TestFailingReportsChangeTheScheduler(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		active, standby := b.cluster.holder()
		before := b.cluster.reportsAt(standby)
		b.cluster.setJudge(func(node string, _ api.Report) (*api.ReportAnswer, error) {
			if node == active { // its watch lives, its reports do not
				return nil, context.DeadlineExceeded
			}
			return nil, nil
		})
		pass(5 * time.Second)
		if b.cluster.reportsAt(standby) == before {
			t.Fatal("reports go on failing at the same scheduler")
		}
	})
}

// A scheduler that hangs, as one whose host is gone, makes no cell unready: within the
// heartbeat limit another one hears the cell.
func TestHangingSchedulerIsLeftWithinTheLimit(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		active, _ := b.cluster.holder()
		bound := timersOf(&api.RegisterAnswer{HeartbeatMs: 250, LimitMs: 3000}).bound
		began, silent := time.Now(), time.Duration(0)
		b.cluster.setJudge(func(node string, _ api.Report) (*api.ReportAnswer, error) {
			if node == active {
				time.Sleep(bound)
				return nil, context.DeadlineExceeded
			}
			if silent == 0 {
				silent = time.Since(began)
			}
			return nil, nil
		})
		pass(5 * time.Second)
		if silent == 0 || silent > 3*time.Second-250*time.Millisecond {
			t.Fatalf("nobody heard the cell for %s, limit 3s", silent)
		}
	})
}

// Whatever the timers, a pause between two heartbeats and the reports after which a
// scheduler is left fit into the limit.
func TestReportsFitIntoTheLimit(t *testing.T) {
	for _, c := range []struct{ heartbeat, limit time.Duration }{
		{250 * time.Millisecond, 3 * time.Second},
		{5 * time.Second, 15 * time.Second},
		{10 * time.Second, 30 * time.Second},
	} {
		timers := timersOf(&api.RegisterAnswer{HeartbeatMs: c.heartbeat.Milliseconds(), LimitMs: c.limit.Milliseconds()})
		if least := c.heartbeat + reportFailures*(timers.bound+2*retryFirst); least > c.limit {
			t.Errorf("heartbeat %s, limit %s: a scheduler that hangs is left after %s", c.heartbeat, c.limit, least)
		}
	}
}

func TestInventoryIsReported(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		for _, r := range b.cluster.reports {
			if r.Inventory != nil {
				if got := r.Inventory.Capacity; got != (api.Resources{CPU: 4000, Mem: 8 << 30, Block: 1 << 20}) {
					t.Fatalf("capacity is %+v", got)
				}
				return
			}
		}
		t.Fatal("no inventory was reported")
	})
}

func TestPoisonedReportIsSentInParts(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			for _, l := range r.Bound {
				if l.LeaseID == "l3" {
					return nil, api.Refuse(api.InvalidArgument, "no such thing")
				}
			}
			return nil, nil
		})
		for _, id := range []string{"l1", "l2", "l3", "l4", "l5"} {
			b.grant(id, time.Hour)
		}
		pass(time.Minute)
		for _, id := range []api.LeaseID{"l1", "l2", "l4", "l5"} {
			if b.cluster.lease(id).BoundGeneration != 1 {
				t.Errorf("%s was held back by another lease's report", id)
			}
		}
	})
}

func TestManyEffectsAreBounded(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.cluster.change(func() {
			for i := range 1000 {
				id := api.LeaseID("l" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
				b.cluster.leases[id] = api.Lease{
					ID: id, Tenant: "acme", Provider: "local", CellID: "local-1", Kind: api.KindCPU, Amount: 1, State: api.LeaseActive,
					Generation: 1, Epoch: uint64(i), TTLMs: 60000, Stamp: stampOf(b.clock), Modified: b.cluster.index,
				}
			}
		})
		pass(100 * time.Millisecond)
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		for id, l := range b.cluster.leases {
			if l.BoundGeneration != 1 {
				t.Fatalf("%s is not bound", id)
			}
		}
		for _, r := range b.cluster.reports {
			if len(r.Bound) > api.MaxReportItems {
				t.Fatalf("a report has %d items", len(r.Bound))
			}
		}
	})
}

func TestRoster(t *testing.T) {
	r := newRoster([]string{"a", "b"}, rand.Reader)
	if got := r.all(); len(got) != 2 {
		t.Fatalf("all is %v", got)
	}
	if r.learn(nil) || !r.learn([]string{"c", "d", "a"}) || r.learn([]string{"a", "d", "c"}) {
		t.Fatal("learn tells changes wrongly")
	}
	if got := r.all(); !slices.Equal(got[3:], []string{"b"}) {
		t.Fatalf("all is %v, want the learned ones first and b last", got)
	}
	if u, ok := r.after("c", "c", true); !ok || u == "c" || u == "b" {
		t.Fatalf("a live one other than c is %q", u)
	}
	seen := map[string]bool{}
	u := "a"
	for range 4 {
		u, _ = r.after(u, "", false)
		seen[u] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Fatalf("going round visits %v", got)
	}
	if _, ok := newRoster([]string{"a"}, rand.Reader).after("a", "a", false); ok {
		t.Fatal("there is another one than the only one")
	}
}

func TestPermanentErrors(t *testing.T) {
	for _, err := range []error{errors.New("disk"), api.Refuse(api.NoLeader, "x"), api.Refuse(api.DigestMismatch, "x")} {
		if _, ok := errors.AsType[*backoff.PermanentError](permanent(err)); ok {
			t.Errorf("%v is taken for permanent", err)
		}
	}
	if _, ok := errors.AsType[*backoff.PermanentError](permanent(api.Refuse(api.NotFound, "x"))); !ok {
		t.Error("not_found is tried again")
	}
}

// TestStandbyComesBeforeTheNextInTurn makes the standby another one than the next address.
func TestStandbyComesBeforeTheNextInTurn(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		active, first := b.cluster.holder()
		b.cluster.kill(first)
		pass(2 * retryMost)
		_, second := b.cluster.holder()
		b.cluster.revive(first)
		pass(time.Second)
		b.cluster.kill(active)
		synctest.Wait()
		if now, _ := b.cluster.holder(); now != second {
			t.Fatalf("the session is at %q, want at the standby %s", now, second)
		}
	})
}

func TestThirdIsTriedAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		active, standby := b.cluster.holder()
		b.cluster.mu.Lock() // both in one instant
		for _, u := range []string{active, standby} {
			b.cluster.nodes[u].up = false
		}
		for _, u := range []string{active, standby} {
			close(b.cluster.nodes[u].down)
		}
		b.cluster.mu.Unlock()
		synctest.Wait()
		if now, _ := b.cluster.holder(); now == "" || now == active || now == standby {
			t.Fatalf("the session is at %q, want at the third at once", now)
		}
	})
}

func TestNewSessionHearsAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		pass(time.Second)
		for u := range b.cluster.nodes {
			b.cluster.kill(u)
		}
		pass(time.Minute)
		b.cluster.revive("https://s2")
		reports := b.cluster.reportsAt("https://s2")
		for active := ""; active == ""; active, _ = b.cluster.holder() {
			pass(time.Millisecond)
		}
		before := time.Now()
		for b.cluster.reportsAt("https://s2") == reports {
			pass(time.Millisecond)
		}
		if waited := time.Since(before); waited > time.Millisecond {
			t.Fatalf("the new session heard nothing for %s", waited)
		}
	})
}
