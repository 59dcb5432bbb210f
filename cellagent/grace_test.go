package cellagent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// progressed collects what was reported of announced ends, in order.
func (b *bench) progressed() (all []api.LeaseProgress) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	for _, r := range b.cluster.reports {
		all = append(all, r.Progress...)
	}
	return all
}

// announce warns a lease that is forced down in a time.
func (b *bench) announce(id api.LeaseID, in time.Duration) {
	l := b.cluster.lease(id)
	l.State, l.Reason, l.ForceAt = api.LeaseRevokeWarning, "revoked", api.Tick(in)
	b.cluster.put(l)
}

// TestGraceIsTold: the announced end of a run's lease reaches the run with its time, and the
// schedulers hear that the grace runs, once, however often the warning comes.
func TestGraceIsTold(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		word := make(chan *work.Word, 1)
		b.runner.do = func(ctx context.Context, j work.Job) work.Outcome {
			word <- j.Word
			<-ctx.Done()
			return work.Outcome{State: api.RunRevoked}
		}
		b.place("r1", time.Minute)
		b.grant("l1", time.Minute)
		w := <-word
		synctest.Wait()
		now := b.clock.Now()
		for range 2 {
			b.announce("r1-mem", 10*time.Second)
			b.announce("l1", 10*time.Second)
			synctest.Wait()
		}
		if _, warned, _ := w.Now(); warned != now+int64(10*time.Second) {
			t.Errorf("the run was told of %d, want %d", warned, now+int64(10*time.Second))
		}
		got := b.progressed()
		slices.SortFunc(got, func(x, y api.LeaseProgress) int { return strings.Compare(string(x.LeaseID), string(y.LeaseID)) })
		want := []api.LeaseProgress{
			{LeaseID: "l1", Epoch: b.cluster.lease("l1").Epoch, State: api.LeaseGraceRunning},
			{LeaseID: "r1-mem", Epoch: 7, State: api.LeaseGraceRunning},
		}
		if !slices.Equal(got, want) {
			t.Errorf("reported %+v", got)
		}
		b.announce("r1-mem", 5*time.Second)
		synctest.Wait()
		if _, warned, _ := w.Now(); warned != now+int64(5*time.Second) {
			t.Errorf("a shorter grace was not told: %d, want %d", warned, now+int64(5*time.Second))
		}
		if !b.host.bound("r1-mem") || !b.host.bound("l1") {
			t.Error("a warning tore a binding down")
		}
	})
}

// TestCheckpointEndsTheRun: what a warned run hands over is kept, reported before its leases end, and
// nothing waits for the end of the grace.
func TestCheckpointEndsTheRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.runner.do = func(ctx context.Context, j work.Job) work.Outcome {
			for {
				_, warned, changed := j.Word.Now()
				if warned != 0 {
					break
				}
				<-changed
			}
			j.Saved()
			<-ctx.Done()
			return work.Outcome{State: api.RunRevoked, Checkpoint: []byte("where I was")}
		}
		b.place("r1", time.Minute)
		synctest.Wait()
		b.announce("r1-mem", 30*time.Second)
		synctest.Wait()
		r := b.cluster.run("r1")
		if r.State != api.RunRevoked || r.Failure.Kind != api.LeaseRevoked || b.artifact(r, api.ArtifactCheckpoint) != "where I was" {
			t.Errorf("run is %s (%+v)", r.State, r.Failure)
		}
		for _, id := range r.LeaseIDs {
			if l := b.cluster.lease(id); l.State != api.LeaseTornDown || b.host.bound(id) {
				t.Errorf("lease %s is %s, bound %t", id, l.State, b.host.bound(id))
			}
		}
		got := b.progressed()
		if n := len(got); n == 0 || got[n-1] != (api.LeaseProgress{LeaseID: "r1-mem", Epoch: 7, State: api.LeaseCheckpoint}) {
			t.Errorf("reported %+v", got)
		}
		b.checkResultFirst()
	})
}

// TestRenewalReachesTheRun: a run goes on for as long as all its leases do, not as one of them.
func TestRenewalReachesTheRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		word := make(chan *work.Word, 1)
		b.runner.do = func(ctx context.Context, j work.Job) work.Outcome {
			word <- j.Word
			<-ctx.Done()
			return work.Outcome{State: api.RunRevoked}
		}
		b.place("r1", time.Minute)
		w := <-word
		first, _, _ := w.Now()
		pass(10 * time.Second)
		for i, id := range []api.LeaseID{"r1-cpu", "r1-mem"} {
			l := b.cluster.lease(id)
			l.Generation, l.Stamp = 2, stampOf(b.clock)
			b.cluster.put(l)
			synctest.Wait()
			want := first + int64(i)*int64(10*time.Second)
			if deadline, _, _ := w.Now(); deadline != want {
				t.Errorf("after %d renewals the deadline is %s later", i+1, time.Duration(deadline-first))
			}
		}
	})
}
