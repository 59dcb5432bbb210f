package leader

import (
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestPinnedAdmission: a grant that names its cell goes there, and nowhere else; of the suite's, a production
// cell that is yet to be proved is no obstacle, of anybody else's it is.
func TestPinnedAdmission(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2", "c3")
		r.tenant(api.ConformanceTenant, api.NoQuota())
		suite := grant(100)
		suite.Tenant, suite.Actor = api.ConformanceTenant, "scheduler"
		for _, id := range []api.CellID{"c3", "c3", "c2", "c1"} {
			suite.Cell = id
			if l := r.lease(r.admit(suite).Leases[0]); l.CellID != id {
				r.t.Errorf("it went to %s, not %s", l.CellID, id)
			}
		}
		suite.Cell = "c9"
		if _, err := r.l.Admit(r.t.Context(), suite); api.KindOf(err) != api.RuntimeNotReady {
			r.t.Errorf("to no cell: %v", err)
		}
		r.must(fsm.RaiseLevel{Level: 2})
		r.must(fsm.MarkCell{Actor: "operator/root", Provider: "aws", Production: true})
		suite.Cell = "c2"
		r.admit(suite)
		_, err := r.l.Admit(r.t.Context(), grant(100))
		e, ok := api.AsError(err)
		if !ok || e.Kind != api.PlacementFailed || len(e.Candidates) != 3 || e.Candidates[0].Vetoes[0].Code != "not_conformant" ||
			e.Hint != "let a production cell prove itself: grafos conformance run aws c1" {
			r.t.Errorf("to an unproved one: %+v", e)
		}
		r.must(fsm.RecordConformance{
			Actor: "operator/root", Provider: "aws", Cell: "c1", CellEpoch: r.record("c1").Epoch, Kinds: api.LeaseKinds(), Checks: 1, Failed: []string{"mem/revoked"},
		})
		if _, err := r.l.Admit(r.t.Context(), grant(100)); api.Problem(err).Hint != "let a production cell prove itself: grafos conformance run aws c2" {
			r.t.Errorf("the one that failed is to be tested again: %q", api.Problem(err).Hint)
		}
		r.must(fsm.RecordConformance{
			Actor: "operator/root", Provider: "aws", Cell: "c2", CellEpoch: r.record("c2").Epoch, Passed: true, Kinds: api.LeaseKinds(), Checks: 1,
		})
		if l := r.lease(r.admit(grant(100)).Leases[0]); l.CellID != "c2" {
			r.t.Errorf("it went to %s", l.CellID)
		}
	})
}
