package control

import (
	"testing"
	"testing/synctest"

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
	case <-w.look:
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
		if !looks(two) || !looks(one) || !two.told || !one.told {
			t.Error("not woken by the last report")
		}
		b.forget(two, []api.LeaseID{"a", "b"})
		if len(b.open) != 0 {
			t.Errorf("kept: %v", b.open)
		}
	})
}

// TestBindingsLook: whoever is told nothing looks again every leadCheck, and what was
// forgotten is kept no longer.
func TestBindingsLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBindings()
		for range 3 {
			w := b.expect([]api.LeaseID{"a", "b"})
			gone := b.expect([]api.LeaseID{"b", "c"})
			b.forget(gone, []api.LeaseID{"b", "c"})
			if len(b.open["b"]) != 1 || len(b.open["c"]) != 0 {
				t.Fatalf("kept: %v", b.open)
			}
			b.told(reported("a"))
			<-w.look
			if w.told || looks(gone) {
				t.Error("told what was not so")
			}
			synctest.Wait()
			if len(b.open) != 0 || b.armed {
				t.Errorf("kept: %v, armed %v", b.open, b.armed)
			}
		}
	})
}
