package fsm

import (
	"github.com/tidwall/btree"

	"github.com/grafos/grafos/api"
)

// nodeDegree is small: every entry copies the nodes that it writes.
const nodeDegree = 16

// leaseTable is the leases, their indexes and the sums over them. Only set and drop write it.
type leaseTable struct {
	byID    records[api.LeaseID, api.Lease]
	onCell  *btree.BTreeG[ownKey]    // I3: those that occupy their cell
	changed *btree.BTreeG[changeKey] // I3: all, by cell and index of change
	tenant  *btree.BTreeG[liveKey]   // I3: all, by tenant
	run     *btree.BTreeG[ownKey]    // I3: those of a run
	due     *btree.BTreeG[ageKey]    // I3, I5: the tick at which something is to be done
	ended   *btree.BTreeG[ageKey]    // I3: those to be forgotten, by the tick of their end
	cells   *btree.Map[api.CellID, cellUse]
	tenants *btree.Map[api.TenantID, tenantUse]
	live    int
}

// cellUse sums what leases take of a cell.
type cellUse struct {
	used   api.Resources // non-terminal and fenced
	fenced api.Resources
	live   int // non-terminal
	all    int // of any state
}

// tenantUse sums the non-terminal leases of a tenant.
type tenantUse struct {
	used api.Resources
	live int64
}

func newLeaseTable() leaseTable {
	return leaseTable{
		byID:    newRecords[api.LeaseID, api.Lease](),
		onCell:  newIndex[ownKey](),
		changed: newIndex[changeKey](),
		tenant:  newIndex[liveKey](),
		run:     newIndex[ownKey](),
		due:     newIndex[ageKey](),
		ended:   newIndex[ageKey](),
		cells:   btree.NewMap[api.CellID, cellUse](0),
		tenants: btree.NewMap[api.TenantID, tenantUse](0),
	}
}

// copy returns a copy that stays as it is. It marks its source: only the goroutine that
// applies may call it.
func (t *leaseTable) copy() leaseTable {
	c := *t
	c.byID, c.onCell, c.changed = t.byID.Copy(), t.onCell.Copy(), t.changed.Copy()
	c.tenant, c.run, c.due, c.ended = t.tenant.Copy(), t.run.Copy(), t.due.Copy(), t.ended.Copy()
	c.cells, c.tenants = t.cells.Copy(), t.tenants.Copy()
	return c
}

// due returns the earliest cluster time at which AdvanceLeases would do something with l.
func due(l api.Lease) (api.Tick, bool) {
	if l.State.Terminal() {
		return 0, false
	}
	if !l.State.Usable() {
		return l.StoppedBy(), true
	}
	at := l.Expires
	if l.State == api.LeaseActive && l.BoundGeneration == 0 {
		at = min(at, l.Granted+api.Tick(api.BindBound))
	}
	if l.ForceAt > 0 {
		at = min(at, l.ForceAt)
	}
	return at, true
}

// set stores l in place of old, where there is one, and keeps indexes and sums.
func (t *leaseTable) set(l, old api.Lease, had bool) {
	t.byID.Set(l.ID, l)
	id := string(l.ID)
	occupied, occupies := had && old.State.Occupies(), l.State.Occupies()
	wasDue, hadDue := due(old)
	isDue, hasDue := due(l)
	forgets := func(l api.Lease) bool { return l.State.Terminal() && l.State != api.LeaseFenced }

	move(t.onCell, ownKey{string(old.CellID), id}, occupied, ownKey{string(l.CellID), id}, occupies)
	move(t.changed, changeKey{string(old.CellID), old.Modified, id}, had, changeKey{string(l.CellID), l.Modified, id}, true)
	move(t.tenant, liveKey{string(old.Tenant), old.State.Terminal(), id}, had, liveKey{string(l.Tenant), l.State.Terminal(), id}, true)
	move(t.run, ownKey{string(old.RunID), id}, had && old.RunID != "", ownKey{string(l.RunID), id}, l.RunID != "")
	move(t.due, ageKey{int64(wasDue), id}, had && hadDue, ageKey{int64(isDue), id}, hasDue)
	move(t.ended, ageKey{int64(old.Ended), id}, had && forgets(old), ageKey{int64(l.Ended), id}, forgets(l))
	if !had {
		t.count(l, 1, 1)
	} else if old.State != l.State {
		t.count(old, -1, 0)
		t.count(l, 1, 0)
	}
}

// drop removes l from the table and all its indexes.
func (t *leaseTable) drop(l api.Lease) {
	id := string(l.ID)
	t.byID.Delete(l.ID)
	t.onCell.Delete(ownKey{string(l.CellID), id})
	t.changed.Delete(changeKey{string(l.CellID), l.Modified, id})
	t.tenant.Delete(liveKey{string(l.Tenant), l.State.Terminal(), id})
	t.run.Delete(ownKey{string(l.RunID), id})
	t.ended.Delete(ageKey{int64(l.Ended), id})
	if at, ok := due(l); ok {
		t.due.Delete(ageKey{int64(at), id})
	}
	t.count(l, -1, -1)
}

// count adds l to the sums, or with sign -1 takes it away; all counts the record itself.
func (t *leaseTable) count(l api.Lease, sign int64, all int) {
	amount := api.Resources{}.With(l.Kind, sign*l.Amount)
	cell, _ := t.cells.Get(l.CellID)
	cell.all += all
	if l.State.Occupies() {
		cell.used = cell.used.Add(amount)
	}
	if l.State == api.LeaseFenced {
		cell.fenced = cell.fenced.Add(amount)
	}
	if !l.State.Terminal() {
		cell.live += int(sign)
		t.live += int(sign)
		tenant, _ := t.tenants.Get(l.Tenant)
		tenant.used = tenant.used.Add(amount)
		tenant.live += sign
		keep(t.tenants, l.Tenant, tenant, tenant == tenantUse{})
	}
	keep(t.cells, l.CellID, cell, cell == cellUse{})
}

// keep stores a sum, or forgets it when it is empty.
func keep[K ~string, V any](m *btree.Map[K, V], key K, v V, empty bool) {
	if empty {
		m.Delete(key)
		return
	}
	m.Set(key, v)
}
