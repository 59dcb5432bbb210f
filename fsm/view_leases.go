package fsm

import (
	"math"

	"github.com/tidwall/btree"

	"github.com/grafos/grafos/api"
)

// Lease returns a lease's record.
func (v *View) Lease(id api.LeaseID) (api.Lease, bool) { return v.leases.byID.Get(id) }

// LeasesOn lists the non-terminal leases on a cell, by id.
func (v *View) LeasesOn(c api.CellID) []api.Lease {
	all := owned(v.leases.onCell, string(c), v.leases.byID)
	live := all[:0]
	for _, l := range all {
		if !l.State.Terminal() {
			live = append(live, l)
		}
	}
	return live
}

// LeasesChangedOn lists the leases of a cell, in any state, whose record changed after an
// index, oldest change first.
func (v *View) LeasesChangedOn(c api.CellID, after uint64) []api.Lease {
	return changed(v.leases.changed, string(c), after, v.leases.byID)
}

// LeasesOf lists a tenant's non-terminal leases, by id.
func (v *View) LeasesOf(t api.TenantID) []api.Lease {
	var list []api.Lease
	v.leases.tenant.Ascend(liveKey{owner: string(t)}, func(k liveKey) bool {
		if k.owner != string(t) || k.ended {
			return false
		}
		l, _ := v.leases.byID.Get(api.LeaseID(k.id))
		list = append(list, l)
		return true
	})
	return list
}

// LeasesOfRun lists the leases of a run that are still held, of all attempts, by id.
func (v *View) LeasesOfRun(r api.RunID) []api.Lease {
	return owned(v.leases.run, string(r), v.leases.byID)
}

// DueLeases lists at most limit leases that AdvanceLeases would change at now, the longest
// due first.
func (v *View) DueLeases(now api.Tick, limit int) []api.LeaseID {
	var ids []api.LeaseID
	v.leases.due.Scan(func(k ageKey) bool {
		if k.at > int64(now) || len(ids) >= limit {
			return false
		}
		ids = append(ids, api.LeaseID(k.id))
		return true
	})
	return ids
}

// NextDue returns the earliest cluster time at which a lease is due; false when none is.
func (v *View) NextDue() (api.Tick, bool) {
	k, ok := v.leases.due.Min()
	return api.Tick(k.at), ok
}

// owned lists the records of one owner by id.
func owned[K ~string, V any](t *btree.BTreeG[ownKey], owner string, byID records[K, V]) []V {
	var list []V
	t.Ascend(ownKey{owner: owner}, func(k ownKey) bool {
		if k.owner != owner {
			return false
		}
		v, _ := byID.Get(K(k.id))
		list = append(list, v)
		return true
	})
	return list
}

// changed lists the records of one owner that changed after an index, oldest change first.
func changed[K ~string, V any](t *btree.BTreeG[changeKey], owner string, after uint64, byID records[K, V]) []V {
	if after == math.MaxUint64 {
		return nil
	}
	var list []V
	t.Ascend(changeKey{owner: owner, modified: after + 1}, func(k changeKey) bool {
		if k.owner != owner {
			return false
		}
		v, _ := byID.Get(K(k.id))
		list = append(list, v)
		return true
	})
	return list
}
