package leader

import (
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

func (r *rig) wantMode(id api.CellID, want api.CellMode) {
	r.t.Helper()
	if got := r.record(id).Mode; got != want {
		r.t.Errorf("cell %s is %s, want %s", id, got, want)
	}
}

// The leader goes on with a drain to its end, and with the way back: work comes when the cell has been
// ready for the warm-up since it returned.
func TestKeepModes(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.must(fsm.RaiseLevel{Level: 2})
		id := r.admit(grant(100)).Leases[0]
		r.bind(id)
		drain := fsm.SetCellMode{Actor: "operator/root", Provider: "aws", Cell: "c1", Mode: api.ModeDraining, DrainTo: api.ModeMaintenance}
		r.must(drain)
		r.pass(2 * time.Second)
		r.wantMode("c1", api.ModeDraining)
		if _, err := r.l.Admit(r.t.Context(), grant(1)); err == nil {
			r.t.Error("admitted to a draining cell")
		}
		r.must(fsm.RevokeLease{Actor: "operator/root", Lease: id})
		r.tearDown(id)
		r.pass(time.Second)
		r.wantMode("c1", api.ModeMaintenance)

		r.must(fsm.SetCellMode{Actor: "operator/root", Provider: "aws", Cell: "c1", Mode: api.ModeReturning})
		r.pass(warmup - 2*time.Second)
		r.wantMode("c1", api.ModeReturning)
		r.pass(4 * time.Second)
		r.wantMode("c1", api.ModeAccepting)
		r.admit(grant(1))
	})
}

// A cell that returns and is not heard takes no work, however long it is.
func TestReturningIsNotReady(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.must(fsm.RaiseLevel{Level: 2})
		r.must(fsm.SetCellMode{Actor: "operator/root", Provider: "aws", Cell: "c1", Mode: api.ModeDraining})
		r.pass(time.Second)
		r.wantMode("c1", api.ModeDrained)
		time.Sleep(time.Minute) // nobody sends its heartbeats
		r.must(fsm.SetCellMode{Actor: "operator/root", Provider: "aws", Cell: "c1", Mode: api.ModeReturning})
		time.Sleep(20 * time.Minute)
		r.wantMode("c1", api.ModeReturning)
		r.pass(2*warmup + 2*time.Second)
		r.wantMode("c1", api.ModeAccepting)
	})
}
