package cellagent

import (
	"fmt"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestGravesAreForgotten: an end that the schedulers have taken is remembered until no older set can
// come, and then for as long as there is room; one that they have not is never forgotten.
func TestGravesAreForgotten(t *testing.T) {
	y := newGraveyard(2)
	bury := func(n int) api.LeaseID {
		id := api.LeaseID(fmt.Sprint("l", n))
		y.bury(api.Lease{ID: id}, api.EndedReport{LeaseID: id, State: api.LeaseTornDown})
		return id
	}
	want := func(what string, ids ...int) {
		t.Helper()
		for n := range 6 {
			_, found := y.find(api.LeaseID(fmt.Sprint("l", n)))
			wanted := false
			for _, id := range ids {
				wanted = wanted || id == n
			}
			if found != wanted {
				t.Errorf("%s: l%d remembered is %t", what, n, found)
			}
		}
	}
	for n := range 4 {
		y.confirm(bury(n), uint64(10+n), true)
	}
	y.confirm(bury(4), 14, false)
	bury(5)
	y.ripen(9)
	want("before the index of their end", 0, 1, 2, 3, 4, 5)
	y.ripen(12)
	want("two are kept, and those that are not ripe", 1, 2, 3, 4, 5)
	y.ripen(100)
	want("two are kept, and those that were not taken", 2, 3, 4, 5)

	y = newGraveyard(0)
	y.confirm(bury(0), 10, true)
	y.doubt()
	y.ripen(100)
	want("confirmed by a cluster that was recovered since", 0)
	y.confirm("l0", 5, true)
	y.ripen(5)
	want("and once more")
}

// TestManyEndsAreForgotten: a cell that ends many leases does not remember them all, though nobody
// tells it of their ends.
func TestManyEndsAreForgotten(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.agent.keeper.mu.Lock()
		b.agent.keeper.gone.most = 10
		b.agent.keeper.mu.Unlock()
		for n := range 100 {
			b.grant(fmt.Sprint("l", n), 1e9)
			pass(2e9)
		}
		b.agent.keeper.mu.Lock()
		defer b.agent.keeper.mu.Unlock()
		if n := len(b.agent.keeper.gone.graves); n > 12 {
			b.t.Errorf("%d leases that have ended are remembered", n)
		}
	})
}
