package fsmcheck

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// cellSum is a cell and what leases take of it.
type cellSum struct {
	id     api.CellID
	record *api.CellRecord // nil when there is none
	used   map[api.LeaseKind]int64
	gpus   map[int]map[api.LeaseID]gpuShare // by ordinal, what leases that name it have
}

// gpuShare is what one lease has of one device.
type gpuShare struct {
	tenant api.TenantID
	class  api.GPUClass
	milli  int64
}

// tenantSum is a tenant and what its leases hold.
type tenantSum struct {
	id     api.TenantID
	record *api.Tenant // nil when there is none
	used   map[api.LeaseKind]int64
	leases int64
}

func (c *Checker) cell(id api.CellID) *cellSum {
	s, ok := c.cells[id]
	if !ok {
		s = &cellSum{id: id, used: map[api.LeaseKind]int64{}}
		c.cells[id] = s
	}
	return s
}

func (c *Checker) tenant(id api.TenantID) *tenantSum {
	s, ok := c.tenants[id]
	if !ok {
		s = &tenantSum{id: id, used: map[api.LeaseKind]int64{}}
		c.tenants[id] = s
	}
	return s
}

// count adds a lease to the sums, or with sign -1 takes it away.
func (c *Checker) count(l api.Lease, sign int64) {
	if !l.Occupies() {
		c.ended += int(sign)
		return
	}
	if s := c.cell(l.CellID); l.Terms.Devices() != nil {
		s.share(&l, sign)
	} else {
		s.used[l.Kind] += sign * l.Amount
	}
	if l.State == api.LeaseFenced {
		return
	}
	t := c.tenant(l.Tenant)
	t.used[l.Kind] += sign * l.Amount
	t.leases += sign
	if l.RunID != "" {
		c.run(l.RunID).live += int(sign)
	}
}

// fits checks L1.
func (c *Checker) fits(s *cellSum) {
	for _, k := range api.LeaseKinds() {
		limit := int64(0)
		if s.record != nil {
			limit = max(s.record.Capacity.Get(k), s.record.Held.Get(k))
		}
		used := s.used[k]
		if k == api.KindGPU {
			used += int64(len(s.gpus)) // one that is shared counts once
		}
		c.want(used <= limit, "L1", "the leases of cell %s take %d %s of %s, of %d", s.id, used, k.Unit(), k, limit)
	}
	for o, shares := range s.gpus {
		c.shared(s.id, o, shares)
	}
}

// share counts a lease among those of its devices, or with sign -1 not any more.
func (s *cellSum) share(l *api.Lease, sign int64) {
	g := l.Terms.Devices()
	for _, o := range g.Devices {
		if sign < 0 {
			if delete(s.gpus[o], l.ID); len(s.gpus[o]) == 0 {
				delete(s.gpus, o)
			}
			continue
		}
		if s.gpus == nil {
			s.gpus = map[int]map[api.LeaseID]gpuShare{}
		}
		if s.gpus[o] == nil {
			s.gpus[o] = map[api.LeaseID]gpuShare{}
		}
		s.gpus[o][l.ID] = gpuShare{l.Tenant, g.Class, g.Share()}
	}
}

// shared checks L1 of one device: no more than the whole of it, in one class, and of one tenant or one
// lease where the class says so.
func (c *Checker) shared(cell api.CellID, ordinal int, shares map[api.LeaseID]gpuShare) {
	sum, tenants, classes := int64(0), map[api.TenantID]bool{}, map[api.GPUClass]bool{}
	for _, s := range shares {
		sum += s.milli
		tenants[s.tenant], classes[s.class] = true, true
	}
	c.want(sum <= api.WholeGPU, "L1", "leases have %d thousandths of gpu %d of cell %s", sum, ordinal, cell)
	c.want(len(classes) == 1, "L1", "gpu %d of cell %s is leased in %d classes", ordinal, cell, len(classes))
	c.want(!classes[api.GPUSessionExclusive] || len(tenants) == 1, "L1", "gpu %d of cell %s is one tenant's alone and %d have it", ordinal, cell, len(tenants))
	c.want(!classes[api.GPUDeviceExclusive] || len(shares) == 1, "L1", "gpu %d of cell %s is one lease's alone and %d have it", ordinal, cell, len(shares))
}

// withinQuota checks L2.
func (c *Checker) withinQuota(s *tenantSum) {
	if s.record == nil {
		c.want(s.leases == 0, "L2", "tenant %s does not exist and holds %d leases", s.id, s.leases)
		return
	}
	q, held := s.record.Quota, s.record.Held
	for _, k := range api.LeaseKinds() {
		limit := q.Limit(k)
		c.want(limit == api.Unlimited || s.used[k] <= max(limit, held.Limit(k)), "L2", "tenant %s holds %d %s of %s, its quota is %d",
			s.id, s.used[k], k.Unit(), k, limit)
	}
	c.want(q.Leases == api.Unlimited || s.leases <= max(q.Leases, held.Leases), "L2", "tenant %s holds %d leases, its quota is %d", s.id, s.leases, q.Leases)
}

// cellChanged checks one write of a cell.
func (c *Checker) cellChanged(w fsm.Changed[api.CellRecord], t touched) {
	if w.New == nil {
		c.want(false, "L4", "a cell is forgotten")
		return
	}
	now := *w.New
	s := c.cell(now.ID)
	if w.Old != nil {
		old := *w.Old
		c.want(s.record != nil && s.record.Modified == old.Modified, "L4", "cell %s changes from what it was not", now.ID)
		c.want(now.Epoch >= old.Epoch, "L4", "the epoch of cell %s falls from %d to %d", now.ID, old.Epoch, now.Epoch)
		c.want(!old.Revoked || now.Revoked, "L4", "cell %s was revoked and comes back", now.ID)
		for _, k := range api.LeaseKinds() {
			grew := now.Held.Get(k) > old.Held.Get(k)
			c.want(!grew || now.Capacity != old.Capacity, "L1", "what cell %s may hold beyond its capacity grows from %d to %d %s", now.ID, old.Held.Get(k), now.Held.Get(k), k)
		}
	} else {
		c.want(s.record == nil, "L4", "cell %s is made again", now.ID)
	}
	s.record = &now
	t.cells[now.ID] = true
}

// tenantChanged checks one write of a tenant.
func (c *Checker) tenantChanged(w fsm.Changed[api.Tenant], t touched, a audits) {
	if w.New == nil {
		s := c.tenant(w.Old.ID)
		s.record = nil
		t.tenants[w.Old.ID] = true
		a.expect("tenant_deleted", string(w.Old.ID))
		return
	}
	now := *w.New
	s := c.tenant(now.ID)
	switch {
	case w.Old == nil:
		c.want(s.record == nil, "L9", "tenant %s is made again", now.ID)
		a.expect("tenant_created", string(now.ID))
	case w.Old.Quota != now.Quota:
		a.expect("quota_set", string(now.ID))
	default:
		for _, k := range api.LeaseKinds() {
			c.want(now.Held.Limit(k) <= w.Old.Held.Limit(k), "L2", "what tenant %s may hold beyond its quota grows from %d to %d %s", now.ID, w.Old.Held.Limit(k), now.Held.Limit(k), k)
		}
	}
	s.record = &now
	t.tenants[now.ID] = true
}
