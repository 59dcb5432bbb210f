package cluster

import (
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// revokedCells is a state at a level in which so many cells were revoked.
func revokedCells(t *testing.T, level fsm.Level, n int) *machine {
	t.Helper()
	m := &machine{Machine: fsm.New(fsm.Options{Log: hclog.NewNullLogger()})}
	cmds := []fsm.Command{fsm.InitCluster{ClusterID: "g-test", Providers: []api.Provider{{ID: "aws", Enabled: true}}}, fsm.RaiseLevel{Level: level}}
	index := uint64(0)
	flush := func() {
		index++
		if err := applyAlone(m, index, 1, fsm.Entry{Commands: cmds}); err != nil {
			t.Fatal(err)
		}
		cmds = nil
	}
	for i := range n {
		id := api.CellID(fmt.Sprint("aws-", i))
		cmds = append(cmds, fsm.RegisterCell{
			Actor: "cell", Provider: "aws", Cell: id, Agent: "agent", BrokerKey: "bb", Identity: api.Identity{SPKI: fmt.Sprintf("%064d", i), NotAfter: 1},
		}, fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: id, Now: true})
		if len(cmds) > 500 {
			flush()
		}
	}
	flush()
	return m
}

// Revocations are carried into an older state, whatever their number and its level, and once.
func TestBarAgain(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 1500} {
		now, old := revokedCells(t, 2, n), revokedCells(t, 1, min(n, 1)/2)
		entries, err := barAgain(old.View(), now.View().Level(), now.View().Revocations("operator/root"))
		if err != nil || n > 1000 && len(entries) < 2 || n == 0 && len(entries) != 0 {
			t.Fatalf("%d cells: %d entries, %v", n, len(entries), err)
		}
		for i, e := range entries {
			if err := applyAlone(old, uint64(100+i), 1, fsm.Entry{Commands: e}); err != nil {
				t.Fatal(err)
			}
		}
		if left := forgotten(old.View(), now.View().Revocations("")); len(left) != 0 {
			t.Errorf("%d of %d cells are not barred", len(left), n)
		}
		if got := len(old.View().Cells("")); got != n {
			t.Errorf("%d records of %d cells", got, n)
		}
		if again, err := barAgain(old.View(), 2, now.View().Revocations("")); len(again) != 0 || err != nil {
			t.Errorf("barred again: %d entries, %v", len(again), err)
		}
	}
	if _, err := barAgain(revokedCells(t, 1, 0).View(), 1, revokedCells(t, 1, 1).View().Revocations("")); api.KindOf(err) != api.Conflict {
		t.Errorf("below its level: %v", err)
	}
}
