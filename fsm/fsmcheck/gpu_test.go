package fsmcheck

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestSharesOfGPUs: more than the whole of a device, two classes on one, and company where there is to be
// none are found; what is given back is free again.
func TestSharesOfGPUs(t *testing.T) {
	lease := func(id api.LeaseID, tenant api.TenantID, class api.GPUClass, share int64, devices ...int) api.Lease {
		return api.Lease{
			ID: id, Tenant: tenant, CellID: "c1", Kind: api.KindGPU, Amount: int64(len(devices)), State: api.LeaseActive,
			Terms: &api.Terms{GPU: &api.GPUTerms{Class: class, ShareMilli: share, Devices: devices}},
		}
	}
	first := lease("l1", "acme", api.GPUShared, 600, 0)
	session := lease("l1", "acme", api.GPUSessionExclusive, 600, 0)
	for name, tt := range map[string]struct {
		leases []api.Lease
		broken int
	}{
		"one":            {[]api.Lease{first}, 0},
		"two":            {[]api.Lease{first, lease("l2", "beta", api.GPUShared, 400, 0, 1)}, 0},
		"too much":       {[]api.Lease{first, lease("l2", "beta", api.GPUShared, 401, 0)}, 1},
		"two classes":    {[]api.Lease{first, lease("l2", "acme", api.GPUSessionExclusive, 100, 0)}, 1},
		"a session":      {[]api.Lease{session, lease("l2", "acme", api.GPUSessionExclusive, 100, 0)}, 0},
		"two sessions":   {[]api.Lease{session, lease("l2", "beta", api.GPUSessionExclusive, 100, 0)}, 1},
		"not alone":      {[]api.Lease{lease("l1", "acme", api.GPUDeviceExclusive, 0, 0), lease("l2", "acme", api.GPUDeviceExclusive, 0, 0)}, 2},
		"too many":       {[]api.Lease{lease("l1", "acme", api.GPUShared, 1, 0, 1, 2)}, 1},
		"by number, too": {[]api.Lease{first, {ID: "l2", Tenant: "acme", CellID: "c1", Kind: api.KindGPU, Amount: 2, State: api.LeaseActive}}, 1},
	} {
		c := New(fsm.New(fsm.Options{Log: hclog.NewNullLogger()}).View())
		s := c.cell("c1")
		s.record = &api.CellRecord{Capacity: api.Resources{GPU: 2}}
		for _, l := range tt.leases {
			c.count(l, 1)
		}
		if c.fits(s); len(c.broken) != tt.broken {
			t.Errorf("%s: %v", name, c.broken)
		}
		for _, l := range tt.leases {
			c.count(l, -1)
		}
		if len(s.gpus) != 0 || s.used[api.KindGPU] != 0 {
			t.Errorf("%s: when all is given back %v and %d are left", name, s.gpus, s.used[api.KindGPU])
		}
	}
}
