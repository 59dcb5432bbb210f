package fsm

import (
	"testing"

	"github.com/grafos/grafos/api"
)

// What is seen of a record at a glance is what stands in it.
func TestGlance(t *testing.T) {
	for i, state := range []api.LeaseState{api.LeaseActive, api.LeaseExpired, api.LeaseTornDown, api.LeaseFenced, api.LeaseFenced} {
		l := api.Lease{ID: "l-x", Epoch: 1 << 40, Generation: 300, BoundGeneration: 299, Modified: 1 << 50, State: state, Unfenced: api.Tick(i / 4)}
		g := leaseRecord(appendLease(nil, &l)).glance()
		if want := (LeaseGlance{state, l.Fenced(), 300, 299, 1 << 50}); g != want {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
}
