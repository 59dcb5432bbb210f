package leader

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// grantGPU asks for gpus; "" is without terms.
func grantGPU(n int64, class api.GPUClass, share int64) fsm.GrantLeases {
	g := grant(1)
	g.Items = []fsm.GrantItem{{Kind: api.KindGPU, Amount: n}}
	if class != "" {
		g.Terms = &api.Terms{GPU: &api.GPUTerms{Class: class, ShareMilli: share}}
	}
	return g
}

// withGPUs makes c1 a ready cell with so many gpus, in a cluster that leases them by their ordinals.
func (r *rig) withGPUs(n int64) {
	r.t.Helper()
	r.ready("c1")
	more := capacity
	more.GPU = n
	r.must(fsm.ReportCell{Cell: "c1", Epoch: r.cells["c1"], Inventory: &api.InventoryReport{Capacity: more}})
	r.must(fsm.RaiseLevel{Level: levelDevices})
}

// TestGPUsAreChosen: the decision says which gpus a lease has; shares are put together, and whole ones
// are left whole.
func TestGPUsAreChosen(t *testing.T) {
	bubble(t, func(r *rig) {
		r.withGPUs(3)
		for i, tt := range []struct {
			ask  fsm.GrantLeases
			want []int
		}{
			{grantGPU(1, api.GPUShared, 250), []int{0}},
			{grantGPU(1, "", 0), []int{1}},
			{grantGPU(1, api.GPUShared, 750), []int{0}},
			{grantGPU(1, api.GPUShared, 100), []int{2}},
		} {
			l := r.lease(r.admit(tt.ask).Leases[0])
			g := l.Terms.Devices()
			if g == nil || !slices.Equal(g.Devices, tt.want) {
				r.t.Fatalf("%d: lease has %+v, want the gpus %v", i, l.Terms, tt.want)
			}
			if tt.ask.Terms == nil && g.Class != api.GPUDeviceExclusive {
				r.t.Errorf("%d: a lease without terms is %s", i, g.Class)
			}
		}
		_, err := r.l.Admit(context.Background(), grantGPU(1, api.GPUSessionExclusive, 1))
		if e := api.Problem(err); err == nil || e.Kind != api.NoEligibleProviderCells || e.Reason != api.ReasonFull {
			r.t.Errorf("no gpu is left, and it is answered %v", err)
		}
		if _, err := r.l.Admit(context.Background(), grantGPU(4, api.GPUShared, 1)); api.Problem(err).Reason != api.ReasonInsufficient {
			r.t.Errorf("more gpus than there are are answered with %v", err)
		}
	})
}

// TestConcurrentShares: however many ask at once, the shares of a gpu are granted to the last, and never
// beyond it: with decisions in flight, too.
func TestConcurrentShares(t *testing.T) {
	bubble(t, func(r *rig) {
		r.withGPUs(2)
		r.slow()
		for _, class := range []api.GPUClass{api.GPUShared, api.GPUSessionExclusive} {
			out := r.all(20, func(int) fsm.GrantLeases { return grantGPU(1, class, 250) })
			want := "map[:8 no_eligible_provider_cells:12]"
			if class == api.GPUSessionExclusive {
				want = "map[no_eligible_provider_cells:20]" // all are shared
			}
			if got := tally(out); got != want {
				r.t.Errorf("%s: got %s, want %s", class, got, want)
			}
		}
		conflicts := 0
		for _, g := range commands[fsm.GrantLeases](r.fakeNode) {
			if g.Terms.GPU == nil || len(g.Terms.GPU.Devices) != 1 {
				conflicts++
			}
		}
		if n := len(commands[fsm.GrantLeases](r.fakeNode)); n != 8 || conflicts != 0 {
			r.t.Errorf("%s were decided, %d without a gpu", fmt.Sprint(n), conflicts)
		}
	})
}

// TestGPUsBefore: a cluster of before leases numbers of gpus.
func TestGPUsBefore(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		more := capacity
		more.GPU = 1
		r.must(fsm.ReportCell{Cell: "c1", Epoch: r.cells["c1"], Inventory: &api.InventoryReport{Capacity: more}})
		if r.m.View().Level() >= levelDevices {
			r.t.Skip("a new cluster is at the level already")
		}
		if l := r.lease(r.admit(grantGPU(1, "", 0)).Leases[0]); l.Terms != nil {
			r.t.Errorf("it has terms %+v", l.Terms)
		}
	})
}
