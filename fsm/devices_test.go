package fsm

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// gpuGrant grants devices of aws-1.
func gpuGrant(id api.LeaseID, tenant api.TenantID, class api.GPUClass, share int64, devices ...int) GrantLeases {
	g := grant(GrantItem{ID: id, Kind: api.KindGPU, Amount: int64(len(devices))})
	g.Tenant = tenant
	g.Terms = &api.Terms{GPU: &api.GPUTerms{Class: class, ShareMilli: share, Devices: devices}}
	return g
}

// TestGPUDevices: leases share a device as their classes say, a shared one counts once, a fence holds
// its share, and what has ended gives it back.
func TestGPUDevices(t *testing.T) {
	r := newRig(t).cluster()
	r.must(CreateTenant{Tenant: "beta", Quota: api.NoQuota()})
	r.must(RaiseLevel{Level: 2})
	uses := func(want int64) {
		t.Helper()
		if got := r.m.View().Used("aws-1").GPU; got != want {
			t.Errorf("leases take %d gpus, want %d", got, want)
		}
		if errs := Check(r.m.View()); len(errs) > 0 {
			t.Errorf("%v", errs)
		}
		again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
		if err != nil || !slices.Equal(again.Devices("aws-1"), r.m.View().Devices("aws-1")) || again.Used("aws-1") != r.m.View().Used("aws-1") {
			t.Errorf("a snapshot has other devices: %v", err)
		}
	}
	r.must(gpuGrant("l1", "acme", api.GPUShared, 600, 0))
	r.must(gpuGrant("l2", "beta", api.GPUShared, 400, 0))
	uses(1)
	r.refused(api.Conflict, gpuGrant("l3", "acme", api.GPUShared, 1, 0))
	r.refused(api.Conflict, gpuGrant("l3", "acme", api.GPUDeviceExclusive, 0, 0))
	r.refused(api.Conflict, gpuGrant("l3", "acme", api.GPUShared, 100, 2)) // aws-1 has two
	r.refused(api.InvalidArgument, func() GrantLeases {
		g := gpuGrant("l3", "acme", api.GPUShared, 100, 0, 1)
		g.Items[0].Amount = 1
		return g
	}())
	r.refused(api.InvalidArgument, func() GrantLeases {
		g := gpuGrant("l3", "acme", api.GPUShared, 100, 0, 1)
		g.Items = []GrantItem{{ID: "l3", Kind: api.KindGPU, Amount: 1}, {ID: "l4", Kind: api.KindGPU, Amount: 1}}
		return g
	}())
	r.must(gpuGrant("l3", "acme", api.GPUSessionExclusive, 500, 1))
	r.refused(api.Conflict, gpuGrant("l4", "beta", api.GPUSessionExclusive, 100, 1))
	r.must(gpuGrant("l4", "acme", api.GPUSessionExclusive, 500, 1))
	uses(2)
	r.bound("l1", "l2", "l3", "l4")
	end := func(id api.LeaseID, s api.LeaseState) {
		t.Helper()
		r.must(FreeLease{Lease: id})
		r.must(ReportCell{Cell: "aws-1", Epoch: 1, Ended: []api.EndedReport{{LeaseID: id, Epoch: r.lease(id).Epoch, State: s, Reason: "teardown"}}})
	}
	end("l3", api.LeaseTornDown)
	uses(2)
	end("l4", api.LeaseTornDown)
	uses(1)
	end("l1", api.LeaseFenced)
	uses(1)
	if v := r.m.View(); v.Fenced("aws-1").GPU != 1 || v.Devices("aws-1").At(0) != (api.GPUUse{Class: api.GPUShared, Milli: 1000, Leases: 2, Fenced: 1}) {
		t.Errorf("a fence leaves %+v, %d devices fenced", v.Devices("aws-1"), v.Fenced("aws-1").GPU)
	}
	end("l2", api.LeaseTornDown)
	uses(1)
	r.refused(api.Conflict, gpuGrant("l5", "acme", api.GPUShared, 500, 0)) // 600 are fenced
	r.must(gpuGrant("l5", "acme", api.GPUShared, 400, 0))
	r.must(UnfenceLease{Lease: "l1"})
	r.must(gpuGrant("l6", "acme", api.GPUShared, 600, 0))
	uses(1)
	// A lease that names no device takes one all the same.
	r.must(grant(GrantItem{ID: "l7", Kind: api.KindGPU, Amount: 1}))
	uses(2)
	if p := r.refusal(api.Conflict, gpuGrant("l8", "acme", api.GPUDeviceExclusive, 0, 1)); !strings.Contains(p.Detail, "0 of 2 devices gpu free") {
		t.Errorf("refused with %q", p.Detail)
	}
}

// TestCheckFindsSharing: what the state machine never lets happen is found where it has.
func TestCheckFindsSharing(t *testing.T) {
	v := newRig(t).cluster().m.View()
	lease := func(id api.LeaseID, tenant api.TenantID, class api.GPUClass, share int64) api.Lease {
		g := gpuGrant(id, tenant, class, share, 0)
		return api.Lease{ID: id, Tenant: tenant, Kind: api.KindGPU, Amount: 1, State: api.LeaseActive, Terms: g.Terms}
	}
	for name, pair := range map[string][2]api.Lease{
		"too much":       {lease("l1", "acme", api.GPUShared, 600), lease("l2", "acme", api.GPUShared, 500)},
		"another class":  {lease("l1", "acme", api.GPUShared, 600), lease("l2", "acme", api.GPUSessionExclusive, 100)},
		"another tenant": {lease("l1", "acme", api.GPUSessionExclusive, 600), lease("l2", "beta", api.GPUSessionExclusive, 100)},
		"not alone":      {lease("l1", "acme", api.GPUDeviceExclusive, 0), lease("l2", "acme", api.GPUDeviceExclusive, 0)},
	} {
		c, tallied := checker{v: v}, new(tally)
		tallied.add(pair[0])
		tallied.add(pair[1])
		c.sharing("aws-1", tallied)
		if !slices.ContainsFunc(c.broken, func(err error) bool { return strings.HasPrefix(err.Error(), "I1: ") }) {
			t.Errorf("%s is not found: %v", name, c.broken)
		}
		if tallied.all().GPU != 1 {
			t.Errorf("%s: they take %d gpus", name, tallied.all().GPU)
		}
	}
}
