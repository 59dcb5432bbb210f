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

	// Those that were asked for last, as they are in cells and tenants: most commands ask for one
	// several times in turn. nil is none.
	lastCell   *cellUse
	lastTenant *tenantUse
}

// cellUse is the leases of a cell, and what they take of it.
type cellUse struct {
	edit       cow.Edit
	id         api.CellID
	used       api.Resources // non-terminal and fenced
	fenced     api.Resources
	devices    api.GPUUses    // of the gpus that leases name
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
func forgets(l *api.Lease) bool {
	return l.State.Terminal() && (l.State != api.LeaseFenced || l.Unfenced != 0)
}

func (t *leaseTable) hash(id api.LeaseID) uint64 { return maphash.String(t.seed, string(id)) }

// get returns the lease with an id in the table as it is after the entry at index now.
func (t *leaseTable) get(id api.LeaseID, now uint64) (found leaseRecord, ok bool) {
	_, ok = t.byID.Find(t.hash(id), func(epoch uint64) bool {
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
	use := t.findCell(id)
	switch {
	case use == nil:
		use = &cellUse{edit: e, id: id}
	case use.edit == e:
		t.lastCell = use
		return use
	default:
		c := *use
		c.edit = e
		use = &c
	}
	t.cells.Set(e, maphash.String(t.seed, string(id)), use, func(c *cellUse) bool { return c.id == id })
	t.lastCell = use
	return use
}

// findCell returns what is known of a cell, to be read; nil when it has no leases.
func (t *leaseTable) findCell(id api.CellID) *cellUse {
	if use := t.lastCell; use != nil && use.id == id {
		return use
	}
	use, _ := t.cells.Get(maphash.String(t.seed, string(id)), func(c *cellUse) bool { return c.id == id })
	return use
}

// useOf returns what is known of a cell, to be read.
func (t *leaseTable) useOf(id api.CellID) cellUse {
	if use := t.findCell(id); use != nil {
		return *use
	}
	return cellUse{}
}

// usedOf returns what leases take of a cell.
func (t *leaseTable) usedOf(id api.CellID) api.Resources {
	if use := t.findCell(id); use != nil {
		return use.used
	}
	return api.Resources{}
}

// tenant returns what is known of a tenant to be changed in an edit.
func (t *leaseTable) tenant(e cow.Edit, id api.TenantID) *tenantUse {
	use := t.findTenant(id)
	switch {
	case use == nil:
		use = &tenantUse{edit: e, id: id}
	case use.edit == e:
		t.lastTenant = use
		return use
	default:
		c := *use
		c.edit = e
		use = &c
	}
	t.tenants.Set(e, maphash.String(t.seed, string(id)), use, func(c *tenantUse) bool { return c.id == id })
	t.lastTenant = use
	return use
}

// findTenant returns what is known of a tenant, to be read; nil when it has no leases.
func (t *leaseTable) findTenant(id api.TenantID) *tenantUse {
	if use := t.lastTenant; use != nil && use.id == id {
		return use
	}
	use, _ := t.tenants.Get(maphash.String(t.seed, string(id)), func(c *tenantUse) bool { return c.id == id })
	return use
}

// heldBy returns what is known of a tenant, to be read.
func (t *leaseTable) heldBy(id api.TenantID) tenantUse {
	if use := t.findTenant(id); use != nil {
		return *use
	}
	return tenantUse{}
}

// standing is what indexes and sums depend on of what changes of a lease; the zero one is that of
// a lease that is not there. Neither id nor epoch, cell, tenant, run, kind or amount ever change.
type standing struct {
	state  api.LeaseState
	lifted bool // the fence is cleared
	place  place
}

// occupies is api.Lease.Occupies.
func (s standing) occupies() bool { return !s.state.Terminal() || s.fenced() }

// fenced is api.Lease.Fenced.
func (s standing) fenced() bool { return s.state == api.LeaseFenced && !s.lifted }

// place is where a lease stands in the indexes by tick.
type place struct {
	in *bitset[tickKey] // nil is nowhere
	at tickKey
}

func (t *leaseTable) standing(l *api.Lease) standing {
	return standing{state: l.State, lifted: l.Unfenced != 0, place: t.place(l)}
}

func (t *leaseTable) place(l *api.Lease) place {
	if at, ok := due(l); ok {
		p := place{&t.due, tickKey{uint64(at), serial(l.Epoch)}}
		if unbound(l) {
			p.in = &t.unbound
		}
		return p
	}
	if forgets(l) {
		return place{&t.ended, tickKey{uint64(max(l.Ended, l.Unfenced)), serial(l.Epoch)}}
	}
	return place{}
}

// set stores l, whose record is r, and keeps indexes and sums; old is how it stood before.
func (t *leaseTable) set(e cow.Edit, l *api.Lease, r leaseRecord, old standing) {
	epoch := serial(l.Epoch)
	t.byEpoch.Set(e, epoch, r)
	if old.state == "" {
		t.byID.Add(t.hash(l.ID), l.Epoch)
		if l.RunID != "" {
			t.run.Set(e, runKey{string(l.RunID), epoch}, struct{}{})
		}
	}
	t.stand(e, l, old, t.standing(l))
}

// drop removes l from the table and all its indexes, in the entry at index now.
func (t *leaseTable) drop(e cow.Edit, l *api.Lease, now uint64) {
	epoch := serial(l.Epoch)
	t.byID.Remove(now, t.hash(l.ID), l.Epoch)
	t.byEpoch.Delete(e, epoch)
	if l.RunID != "" {
		t.run.Delete(e, runKey{string(l.RunID), epoch})
	}
	t.stand(e, l, t.standing(l), standing{})
}

// stand keeps the indexes by tick, and those and the sums of cell and tenant.
func (t *leaseTable) stand(e cow.Edit, l *api.Lease, before, after standing) {
	if before.place != after.place {
		if in := before.place.in; in != nil {
			in.Delete(e, before.place.at)
		}
		if in := after.place.in; in != nil {
			in.Set(e, after.place.at)
		}
	}
	t.countCell(e, l, before, after)
	if before.state == "" || after.state == "" || before.state.Terminal() != after.state.Terminal() {
		t.countTenant(e, l, before.state, after.state)
	}
}

// countCell moves l from one standing to another in the index and the sums of its cell.
func (t *leaseTable) countCell(e cow.Edit, l *api.Lease, before, after standing) {
	cell := t.cell(e, l.CellID)
	if before.state != after.state || before.lifted != after.lifted {
		from, to := cell.take(l, before, -1), cell.take(l, after, 1)
		if from != to {
			if from != nil {
				from.Delete(e, serial(l.Epoch))
			}
			if to != nil {
				to.Set(e, serial(l.Epoch))
			}
		}
	}
	if after.state != "" {
		cell.log.add(l.Modified, serial(l.Epoch), cell.held.Len()+cell.past.Len())
	} else if cell.held.Len() == 0 && cell.past.Len() == 0 {
		id := cell.id
		t.cells.Delete(e, maphash.String(t.seed, string(id)), func(c *cellUse) bool { return c.id == id })
		t.lastCell = nil
	}
}

// countTenant does the same for its tenant.
func (t *leaseTable) countTenant(e cow.Edit, l *api.Lease, before, after api.LeaseState) {
	tenant := t.tenant(e, l.Tenant)
	if before != "" {
		t.live -= tenant.take(e, l, before, -1)
	}
	if after != "" {
		t.live += tenant.take(e, l, after, 1)
	}
	if tenant.open.Len() == 0 && tenant.past.Len() == 0 {
		id := tenant.id
		t.tenants.Delete(e, maphash.String(t.seed, string(id)), func(c *tenantUse) bool { return c.id == id })
		t.lastTenant = nil
	}
}

// take adds l, as one that stands so, to the sums of the cell, or with sign -1 takes it away, and
// returns where it belongs; nowhere when it is not there.
func (c *cellUse) take(l *api.Lease, as standing, sign int) (in *bitset[serial]) {
	if as.state == "" {
		return nil
	}
	in = &c.past
	if as.occupies() {
		amount := int64(sign) * l.Amount
		used, fenced := amount, amount
		if g := l.Terms.Devices(); g != nil {
			used, fenced = c.takeDevices(l, g, as.fenced(), sign)
		}
		c.used = c.used.Add(api.Resources{}.With(l.Kind, used))
		if as.fenced() {
			c.fenced = c.fenced.Add(api.Resources{}.With(l.Kind, fenced))
		}
		in = &c.held
	}
	if !as.state.Terminal() {
		c.live += sign
	}
	return in
}

// take adds l, as one in a state, to the tenant, or with sign -1 takes it away, and returns how
// many live leases that is about.
func (c *tenantUse) take(e cow.Edit, l *api.Lease, state api.LeaseState, sign int) int {
	in, live := &c.past, 0
	if !state.Terminal() {
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
