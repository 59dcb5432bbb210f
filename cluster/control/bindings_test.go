package control

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

func reported(ids ...api.LeaseID) []api.BoundReport {
	var list []api.BoundReport
	for _, id := range ids {
		list = append(list, api.BoundReport{LeaseID: id, Generation: 1})
	}
	return list
}

func looks(w *waiter) bool {
	select {
	case <-w.told:
		return true
	default:
		return false
	}
}

// TestBindingsWakeOnce: a waiter is woken when the last of its leases was reported, whoever
// else waits for one of them, and nothing is kept of it.
func TestBindingsWakeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBindings()
		two, one := b.expect([]api.LeaseID{"a", "b"}), b.expect([]api.LeaseID{"b"})
		b.told(reported("x", "a", "a"))
		if looks(two) || looks(one) {
			t.Error("woken too early")
		}
		b.told(reported("b"))
		if !looks(two) || !looks(one) {
			t.Error("not woken by the last report")
		}
		b.forget(two, []api.LeaseID{"a", "b"})
		if len(b.open) != 0 {
			t.Errorf("kept: %v", b.open)
		}
	})
}

// TestBindingsRemind: whoever still waits is reminded every leadCheck, and what was forgotten is kept
// no longer.
func TestBindingsRemind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBindings()
		w := b.expect([]api.LeaseID{"a", "b"})
		gone := b.expect([]api.LeaseID{"b", "c"})
		b.forget(gone, []api.LeaseID{"b", "c"})
		if len(b.open["b"]) != 1 || len(b.open["c"]) != 0 {
			t.Fatalf("kept: %v", b.open)
		}
		b.told(reported("a"))
		for range 3 {
			began := time.Now()
			<-w.remind
			if looks(w) || looks(gone) || len(gone.remind) > 0 || time.Since(began) != leadCheck {
				t.Error("told what was not so, or not in time")
			}
		}
		b.told(reported("b"))
		if !looks(w) {
			t.Error("not told")
		}
		time.Sleep(leadCheck)
		synctest.Wait()
		if len(b.open)+len(b.order) != 0 || b.armed {
			t.Errorf("kept: %v, %v, armed %v", b.open, b.order, b.armed)
		}
	})
}
