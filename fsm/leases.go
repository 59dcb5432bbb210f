package fsm

import (
	"hash/maphash"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// leaseTable is the leases, their indexes and the sums over them. Only set and drop write it.
//
// The records are kept by epoch, which no two leases share (I4) and in whose order leases are
// made; the indexes name a lease by its epoch.
type leaseTable struct {
	seed    maphash.Seed // of the hash maps; their order is never seen
	byEpoch cow.Tree[serial, leaseRecord]
	byID    *cow.Index           // I3: all, by epoch; one for all views
	unbound bitset[tickKey]      // I3, I5: those that wait for their first binding, by the tick at which something is to be done
	due     bitset[tickKey]      // I3, I5: the others that have not ended, likewise
	ended   bitset[tickKey]      // I3: those to be forgotten, by the tick of their end
	run     set[runKey]          // I3: those of a run
	cells   cow.Hash[*cellUse]   // I3
	tenants cow.Hash[*tenantUse] // I3
	live    int
}

// cellUse is the leases of a cell, and what they take of it.
type cellUse struct {
	edit       cow.Edit
	id         api.CellID
	used       api.Resources // non-terminal and fenced
	fenced     api.Resources
	live       int            // non-terminal
	held, past bitset[serial] // the leases that occupy the cell, and the others
	log        leaseLog       // what changed of them
}

// tenantUse is the leases of a tenant, and the sum of the non-terminal ones.
type tenantUse struct {
	edit       cow.Edit
	id         api.TenantID
	used       api.Resources
	open, past bitset[serial] // those that have not ended, and those that have
}

func newLeaseTable() leaseTable { return leaseTable{seed: maphash.MakeSeed(), byID: new(cow.Index)} }

// due returns the earliest cluster time at which AdvanceLeases would do something with l.
func due(l *api.Lease) (api.Tick, bool) {
	if l.State.Terminal() {
		return 0, false
	}
	if !l.State.Usable() {
		if mutant.On(mutant.GiveEarly) {
			return l.Granted, true
		}
		return l.StoppedBy(), true
	}
	at := l.Expires
	if unbound(l) {
		at = min(at, l.Granted+api.Tick(api.BindBound))
	}
	if l.ForceAt > 0 {
		at = min(at, l.ForceAt)
	}
	return at, true
}

// unbound reports whether a lease waits for its first binding.
func unbound(l *api.Lease) bool { return l.State == api.LeaseActive && l.BoundGeneration == 0 }

// forgets reports whether a lease may be forgotten when it is old.
func forgets(l *api.Lease) bool { return l.State.Terminal() && l.State != api.LeaseFenced }

// get returns the lease with an id in the table as it is after the entry at index now.
func (t *leaseTable) get(id api.LeaseID, now uint64) (found leaseRecord, ok bool) {
	_, ok = t.byID.Find(maphash.String(t.seed, string(id)), func(epoch uint64) bool {
		r, ok := t.byEpoch.Get(serial(epoch))
		if !ok || r.id() != id {
			return false
		}
		found = r
		return true
	})
	if ok || t.byID.Cleared() <= now {
		return found, ok
	}
	// The view is so old that the index has forgotten what the view has not.
	t.byEpoch.Scan(func(_ serial, r leaseRecord) bool {
		if ok = r.id() == id; ok {
			found = r
		}
		return !ok
	})
	return found, ok
}

// at returns the lease with an id that should have an epoch: most who ask know it, and the
// way by the epoch is the shorter one.
func (t *leaseTable) at(id api.LeaseID, epoch, now uint64) (leaseRecord, bool) {
	if r, ok := t.byEpoch.Get(serial(epoch)); ok && r.id() == id {
		return r, true
	}
	return t.get(id, now)
}

// cell returns what is known of a cell to be changed in an edit.
func (t *leaseTable) cell(e cow.Edit, id api.CellID) *cellUse {
	hash, is := maphash.String(t.seed, string(id)), func(c *cellUse) bool { return c.id == id }
	use, ok := t.cells.Get(hash, is)
	switch {
	case !ok:
		use = &cellUse{edit: e, id: id}
	case use.edit == e:
		return use
	default:
		c := *use
		c.edit = e
		use = &c
	}
	t.cells.Set(e, hash, use, is)
	return use
}

// useOf returns what is known of a cell, to be read.
func (t *leaseTable) useOf(id api.CellID) cellUse {
	if use, ok := t.cells.Get(maphash.String(t.seed, string(id)), func(c *cellUse) bool { return c.id == id }); ok {
		return *use
	}
	return cellUse{}
}

// usedOf returns what leases take of a cell.
func (t *leaseTable) usedOf(id api.CellID) (used api.Resources) {
	if use, ok := t.cells.Get(maphash.String(t.seed, string(id)), func(c *cellUse) bool { return c.id == id }); ok {
		used = use.used
	}
	return used
}

// tenant returns what is known of a tenant to be changed in an edit.
func (t *leaseTable) tenant(e cow.Edit, id api.TenantID) *tenantUse {
	hash, is := maphash.String(t.seed, string(id)), func(c *tenantUse) bool { return c.id == id }
	use, ok := t.tenants.Get(hash, is)
	switch {
	case !ok:
		use = &tenantUse{edit: e, id: id}
	case use.edit == e:
		return use
	default:
		c := *use
		c.edit = e
		use = &c
	}
	t.tenants.Set(e, hash, use, is)
	return use
}

// heldBy returns what is known of a tenant, to be read.
func (t *leaseTable) heldBy(id api.TenantID) tenantUse {
	use, ok := t.tenants.Get(maphash.String(t.seed, string(id)), func(c *tenantUse) bool { return c.id == id })
	if !ok {
		return tenantUse{}
	}
	return *use
}

// set stores l, whose record is r, in place of old, where there is one, and keeps indexes and
// sums. Neither id nor epoch, cell, tenant, run, kind or amount of a lease ever change.
func (t *leaseTable) set(e cow.Edit, l *api.Lease, r leaseRecord, old *api.Lease) {
	epoch := serial(l.Epoch)
	t.byEpoch.Set(e, epoch, r)
	if old == nil {
		t.byID.Add(maphash.String(t.seed, string(l.ID)), l.Epoch)
		if l.RunID != "" {
			t.run.Set(e, runKey{string(l.RunID), epoch}, struct{}{})
		}
	}
	t.schedule(e, l, old)
	t.count(e, l, old)
}

// drop removes l from the table and all its indexes, in the entry at index now.
func (t *leaseTable) drop(e cow.Edit, l *api.Lease, now uint64) {
	epoch := serial(l.Epoch)
	t.byID.Remove(now, maphash.String(t.seed, string(l.ID)), l.Epoch)
	t.byEpoch.Delete(e, epoch)
	if l.RunID != "" {
		t.run.Delete(e, runKey{string(l.RunID), epoch})
	}
	t.schedule(e, nil, l)
	t.count(e, nil, l)
}

// place is where a lease stands in the indexes by tick.
type place struct {
	in *bitset[tickKey] // nil is nowhere
	at tickKey
}

func (t *leaseTable) place(l *api.Lease) place {
	if l == nil {
		return place{}
	}
	if at, ok := due(l); ok {
		p := place{&t.due, tickKey{uint64(at), serial(l.Epoch)}}
		if unbound(l) {
			p.in = &t.unbound
		}
		return p
	}
	if forgets(l) {
		return place{&t.ended, tickKey{uint64(l.Ended), serial(l.Epoch)}}
	}
	return place{}
}

// schedule keeps the indexes by tick.
func (t *leaseTable) schedule(e cow.Edit, l, old *api.Lease) {
	before, after := t.place(old), t.place(l)
	if before == after {
		return
	}
	if before.in != nil {
		before.in.Delete(e, before.at)
	}
	if after.in != nil {
		after.in.Set(e, after.at)
	}
}

// count keeps the indexes and sums of cell and tenant.
func (t *leaseTable) count(e cow.Edit, l, old *api.Lease) {
	either := l
	if either == nil {
		either = old
	}
	cell := t.cell(e, either.CellID)
	from, to := cell.take(old, -1), cell.take(l, 1)
	if from != to {
		if from != nil {
			from.Delete(e, serial(either.Epoch))
		}
		if to != nil {
			to.Set(e, serial(either.Epoch))
		}
	}
	if l != nil {
		cell.log.add(l.Modified, serial(l.Epoch), cell.held.Len()+cell.past.Len())
	}
	if cell.held.Len() == 0 && cell.past.Len() == 0 {
		id := cell.id
		t.cells.Delete(e, maphash.String(t.seed, string(id)), func(c *cellUse) bool { return c.id == id })
	}
	wasLive, isLive := old != nil && !old.State.Terminal(), l != nil && !l.State.Terminal()
	if l != nil && old != nil && wasLive == isLive {
		return
	}
	tenant := t.tenant(e, either.Tenant)
	if old != nil {
		t.live -= tenant.take(e, old, -1)
	}
	if l != nil {
		t.live += tenant.take(e, l, 1)
	}
	if tenant.open.Len() == 0 && tenant.past.Len() == 0 {
		id := tenant.id
		t.tenants.Delete(e, maphash.String(t.seed, string(id)), func(c *tenantUse) bool { return c.id == id })
	}
}

// take adds l to the sums of the cell, or with sign -1 takes it away, and returns where it belongs;
// nowhere when there is none.
func (c *cellUse) take(l *api.Lease, sign int) (in *bitset[serial]) {
	if l == nil {
		return nil
	}
	amount := api.Resources{}.With(l.Kind, int64(sign)*l.Amount)
	in = &c.past
	if l.State.Occupies() {
		c.used = c.used.Add(amount)
		in = &c.held
	}
	if l.State == api.LeaseFenced {
		c.fenced = c.fenced.Add(amount)
	}
	if !l.State.Terminal() {
		c.live += sign
	}
	return in
}

// take adds l to the tenant, or with sign -1 takes it away, and returns how many live leases
// that is about.
func (c *tenantUse) take(e cow.Edit, l *api.Lease, sign int) int {
	in, live := &c.past, 0
	if !l.State.Terminal() {
		c.used = c.used.Add(api.Resources{}.With(l.Kind, int64(sign)*l.Amount))
		in, live = &c.open, 1
	}
	if sign > 0 {
		in.Set(e, serial(l.Epoch))
	} else {
		in.Delete(e, serial(l.Epoch))
	}
	return live
}
