package control

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/grafos/grafos/api"
)

type batchAnswer struct {
	*api.BatchAnswer
	err error
}

// batch asks for a batch and returns where the answer comes.
func (r *rig) batch(ctx context.Context, key string, items ...api.BatchItem) <-chan batchAnswer {
	out := make(chan batchAnswer, 1)
	go func() {
		a, err := r.c.RequestBatch(ctx, api.BatchRequest{Requests: items}, api.WriteOptions{IdempotencyKey: key})
		out <- batchAnswer{a, err}
	}()
	return out
}

// bindAll binds every lease that waits for its cell, as often as new ones come.
func (r *rig) bindAll() {
	for {
		synctest.Wait()
		n := 0
		for _, l := range r.m.View().LeasesOn("c1") {
			if l.BoundGeneration == 0 {
				r.bind(l, canary)
				n++
			}
		}
		if n == 0 {
			return
		}
	}
}

// TestBatch: each request is answered on its own, in its place, under a key of its own.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		for _, n := range []int{0, api.MaxBatch + 1} {
			_, err := r.c.RequestBatch(r.acme(), api.BatchRequest{Requests: make([]api.BatchItem, n)}, api.WriteOptions{})
			r.wantKind(fmt.Sprint(n, " requests"), err, api.InvalidArgument)
		}
		foreign := cpu(1)
		foreign.Tenant = "other"
		nowhere := cpu(1)
		nowhere.Provider = "gcp"
		out := r.batch(r.acme(), "k", api.BatchItem{LeaseRequest: cpu(1)}, api.BatchItem{LeaseRequest: cpu(-1)},
			api.BatchItem{LeaseRequest: cpu(2), IdempotencyKey: "mine"}, api.BatchItem{LeaseRequest: foreign}, api.BatchItem{LeaseRequest: nowhere})
		r.bindAll()
		a := <-out
		if a.err != nil {
			t.Fatal(a.err)
		}
		for i, want := range []struct {
			cpu  int64
			key  string
			kind api.Kind
		}{
			{1, "k/0", ""},
			{0, "k/1", api.InvalidArgument},
			{2, "mine", ""},
			{0, "k/3", api.Forbidden},
			{0, "k/4", api.RuntimeNotReady},
		} {
			got := a.Answers[i]
			if got.IdempotencyKey != want.key {
				t.Errorf("answer %d is of key %q, want %q", i, got.IdempotencyKey, want.key)
			}
			if want.kind != "" {
				r.wantKind(want.key, got.Problem, want.kind)
				continue
			}
			if got.Grant == nil || got.Grant.Leases[0].Amount != want.cpu || got.Grant.Leases[0].Token != canary {
				t.Errorf("answer %d: %+v", i, got)
			}
		}
		// One of them again, alone, under the key that its answer names.
		stop := r.answerAsks(1, "minted")
		defer stop()
		again := <-r.request(r.acme(), cpu(1), a.Answers[0].IdempotencyKey)
		if again.err != nil || again.set.Leases[0].ID != a.Answers[0].Grant.Leases[0].ID || again.set.Leases[0].Token != "minted" {
			t.Errorf("got %+v, %v", again.set, again.err)
		}
		// And the whole of it: what was granted is the same, what was refused is decided anew.
		whole := <-r.batch(r.acme(), "k", api.BatchItem{LeaseRequest: cpu(1)}, api.BatchItem{LeaseRequest: cpu(-1)})
		if whole.err != nil || whole.Answers[0].Grant.Leases[0].ID != a.Answers[0].Grant.Leases[0].ID || whole.Answers[1].Problem == nil {
			t.Errorf("got %+v, %v", whole.BatchAnswer, whole.err)
		}
	})
}

// largestBatch is as many requests as a batch may have.
func largestBatch() []api.BatchItem {
	return slices.Repeat([]api.BatchItem{{LeaseRequest: cpu(1)}}, api.MaxBatch)
}

// TestBatchTogether: all requests of the largest batch are decided before any is bound, so
// that the leader can put them into few entries, and wait for their cells side by side.
func TestBatchTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		items := largestBatch()
		out := r.batch(r.acme(), "k", items...)
		synctest.Wait()
		if n := len(r.m.View().LeasesOn("c1")); n != api.MaxBatch {
			t.Errorf("%d of %d are decided while none is bound", n, api.MaxBatch)
		}
		r.bindAll()
		a := <-out
		for i, res := range a.Answers {
			if res.Grant == nil {
				t.Fatalf("answer %d: %v", i, res.Problem)
			}
		}
		if !r.c.batched.TryAcquire(maxBatched) || !r.c.atWork.TryAcquire(maxAtWork) {
			t.Error("something is under way after the end")
		}
	})
}

// TestBatchRoom: what all batches have under way is bounded. Who finds no room has it in turn, or is
// refused after a while.
func TestBatchRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		r.c.batched = semaphore.NewWeighted(3)
		two := []api.BatchItem{{LeaseRequest: cpu(1)}, {LeaseRequest: cpu(1)}}
		first := r.batch(r.acme(), "k", two...)
		synctest.Wait()
		began := time.Now()
		second := <-r.batch(r.acme(), "other", two...)
		r.wantKind("no room", second.err, api.Overloaded)
		if p, _ := api.AsError(second.err); p.RetryAfterMs == 0 {
			t.Error("it does not say when to come again")
		}
		if took := time.Since(began); took != batchWait {
			t.Errorf("refused after %s", took)
		}
		third := r.batch(r.acme(), "other", two...)
		synctest.Wait()
		fourth := r.batch(r.acme(), "one", two[:1]...) // it would fit, and does not pass the third
		synctest.Wait()
		if n := len(r.m.View().LeasesOn("c1")); n != 2 {
			t.Errorf("%d are decided, 2 have room", n)
		}
		for _, out := range []<-chan batchAnswer{first, third, fourth} {
			r.bindAll()
			if a := <-out; a.err != nil {
				t.Error(a.err)
			}
			synctest.Wait()
		}
	})
}

// TestBatchesOfSlowCells: batches whose cells do not bind keep no others from being decided for longer
// than a while.
func TestBatchesOfSlowCells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		items := largestBatch()
		var out []<-chan batchAnswer
		for i := range maxAtWork/api.MaxBatch + 1 {
			out = append(out, r.batch(r.acme(), fmt.Sprint("k", i), items...))
			synctest.Wait()
		}
		decided := func() int { return len(r.m.View().LeasesOn("c1")) }
		if n := decided(); n != maxAtWork {
			t.Errorf("%d are decided at once, want %d", n, maxAtWork)
		}
		time.Sleep(workTime)
		synctest.Wait()
		if n := decided(); n != maxAtWork+api.MaxBatch {
			t.Errorf("%d are decided after %s, want all of them", n, workTime)
		}
		r.bindAll()
		for _, o := range out {
			if a := <-o; a.err != nil {
				t.Error(a.err)
			}
		}
		if !r.c.batched.TryAcquire(maxBatched) || !r.c.atWork.TryAcquire(maxAtWork) {
			t.Error("something is under way after the end")
		}
	})
}

// TestBatchWhileLeadershipMoves: a batch whose leader was deposed has no answer, so that it
// is taken to the next leader whole; there its keys find what was granted already.
func TestBatchWhileLeadershipMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		items := []api.BatchItem{{LeaseRequest: cpu(1)}, {LeaseRequest: cpu(2)}, {LeaseRequest: cpu(-1)}}
		out := r.batch(r.acme(), "k", items...)
		synctest.Wait()
		r.set(func() { r.follows = true })
		a := <-out
		r.wantKind("deposed", a.err, api.OutcomeUnknown)

		next := bareRig(t, 64)
		next.follow(r, len(r.entries))
		stop := next.answerAsks(epoch, "minted")
		defer stop()
		out = next.batch(next.acme(), "k", items...)
		next.bindAll()
		a = <-out
		if a.err != nil || a.Answers[2].Problem.Kind != api.InvalidArgument {
			t.Fatalf("got %+v, %v", a.BatchAnswer, a.err)
		}
		for i, res := range a.Answers[:2] {
			if res.Grant == nil || r.lease(res.Grant.Leases[0].ID).Amount != int64(i+1) {
				t.Errorf("answer %d is not what the leader before granted: %+v", i, res)
			}
		}
		if n := len(next.m.View().LeasesOn("c1")); n != 2 {
			t.Errorf("%d leases for two requests", n)
		}
	})
}
