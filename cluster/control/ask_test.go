package control

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestCellBetweenSessions: who repeats a request while its cell is on its way from a scheduler that ended to this one
// has its answer when the cell is there, and thousands that do so look for it no more often than one.
func TestCellBetweenSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		var looks int
		var mu sync.Mutex
		r.peer = &leaderOf{ask: func(api.CellID, api.Ask) error {
			mu.Lock()
			defer mu.Unlock()
			looks++
			return api.Refuse(api.NotFound, "no session")
		}}
		const requests = 50
		for i := range requests {
			key := fmt.Sprint("k", i)
			out := r.request(r.acme(), cpu(1), key)
			synctest.Wait()
			r.bind(r.lease(api.LeaseID(fmt.Sprintf("l-%d-cpu", i+1))), canary)
			if g := <-out; g.err != nil {
				t.Fatal(g.err)
			}
		}
		again := make([]<-chan granted, requests)
		for i := range again {
			again[i] = r.request(r.acme(), cpu(1), fmt.Sprint("k", i))
		}
		time.Sleep(reunionTime / 2)
		synctest.Wait()
		mu.Lock()
		if looks > 2*requests {
			t.Errorf("%d questions for a cell that is not there were put %d times", requests, looks)
		}
		mu.Unlock()
		defer r.answerAsks(epoch, "minted")()
		for i := range again {
			if g := <-again[i]; g.err != nil || g.set.Leases[0].Token != "minted" {
				t.Fatalf("request %d: %+v, %v", i, g.set, g.err)
			}
		}
	})
}

// answered has a request with the key k answered, whose lease is on the cell c1.
func (r *rig) answered() (epoch uint64) {
	epoch = r.cell("c1")
	out := r.request(r.acme(), cpu(1), "k")
	synctest.Wait()
	r.bind(r.lease("l-1-cpu"), canary)
	<-out
	return epoch
}

// TestWhoLooksGoesAway: the others have their answer all the same.
func TestWhoLooksGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.answered()
		first, leave := context.WithCancel(r.acme())
		gone := r.request(first, cpu(1), "k")
		synctest.Wait()
		stays := r.request(r.acme(), cpu(1), "k")
		synctest.Wait()
		leave()
		<-gone
		time.Sleep(reunionTime / 4)
		defer r.answerAsks(epoch, "minted")()
		if g := <-stays; g.err != nil || g.set.Leases[0].Token != "minted" {
			t.Errorf("%+v, %v", g.set, g.err)
		}
	})
}

// TestCellThatIsGone: it is waited for as long as one that changes its scheduler, and not at all when it is known to
// be gone.
func TestCellThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.answered()
		for _, known := range []bool{false, true} {
			least := reunionTime
			if known {
				least = 0
				r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: epoch, Healthy: &api.Condition{Code: "silent"}}}})
			}
			began := time.Now()
			g := <-r.request(r.acme(), cpu(1), "k")
			r.wantKind("repeated", g.err, api.OutcomeUnknown)
			if took := time.Since(began); took < least || took > least+reunionMost {
				t.Errorf("known to be gone: %v, and waited for for %s", known, took)
			}
		}
	})
}
