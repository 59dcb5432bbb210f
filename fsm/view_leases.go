package fsm

import (
	"math"
	"slices"
	"strings"

	"github.com/grafos/grafos/api"
)

// Lease returns a lease's record.
func (v *View) Lease(id api.LeaseID) (api.Lease, bool) {
	r, ok := v.leases.get(id, v.meta.Index)
	if !ok {
		return api.Lease{}, false
	}
	return r.lease(), true
}

// lease returns the lease of an epoch that an index names.
func (v *View) lease(epoch serial) api.Lease {
	r, _ := v.leases.byEpoch.Get(epoch)
	return r.lease()
}

// LeasesOn lists the non-terminal leases on a cell, by id.
func (v *View) LeasesOn(c api.CellID) []api.Lease {
	use := v.leases.useOf(c)
	list := make([]api.Lease, 0, use.live)
	use.held.Scan(func(epoch serial) bool {
		if l := v.lease(epoch); !l.State.Terminal() {
			list = append(list, l)
		}
		return true
	})
	return byLeaseID(list)
}

func byLeaseID(list []api.Lease) []api.Lease {
	slices.SortFunc(list, func(a, b api.Lease) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// LeasesChangedOn lists the leases of a cell, in any state, whose record changed after an
// index, oldest change first.
func (v *View) LeasesChangedOn(c api.CellID, after uint64) []api.Lease {
	return v.LeasesChangedIf(c, after, func(LeaseGlance) bool { return true })
}

// LeaseGlance is what is seen of a lease before its whole record is read.
type LeaseGlance struct {
	State             api.LeaseState
	Fenced            bool   // as api.Lease.Fenced
	Generation, Bound uint64 // Bound is the newest generation that is bound
	modified          uint64
}

// LeasesChangedIf is LeasesChangedOn for those leases alone that are wanted.
func (v *View) LeasesChangedIf(c api.CellID, after uint64, want func(LeaseGlance) bool) []api.Lease {
	if after == math.MaxUint64 {
		return nil
	}
	use := v.leases.useOf(c)
	list := v.changedOn(&use, after, want)
	slices.SortFunc(list, func(a, b api.Lease) int {
		if a.Modified != b.Modified {
			return compare(a.Modified, b.Modified)
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return slices.CompactFunc(list, func(a, b api.Lease) bool { return a.Epoch == b.Epoch })
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// LeasesOf lists a tenant's non-terminal leases, by id.
func (v *View) LeasesOf(t api.TenantID) []api.Lease {
	use := v.leases.heldBy(t)
	list := make([]api.Lease, 0, use.open.Len())
	use.open.Scan(func(epoch serial) bool {
		list = append(list, v.lease(epoch))
		return true
	})
	return byLeaseID(list)
}

// LeasesOfRun lists the leases of a run that are still held, of all attempts, by id.
func (v *View) LeasesOfRun(r api.RunID) []api.Lease {
	var list []api.Lease
	v.leases.run.Ascend(runKey{run: string(r)}, func(k runKey, _ struct{}) bool {
		if k.run != string(r) {
			return false
		}
		list = append(list, v.lease(k.epoch))
		return true
	})
	return byLeaseID(list)
}

// DueLeases lists at most limit leases that AdvanceLeases would change at now, the longest
// due first.
func (v *View) DueLeases(now api.Tick, limit int) []api.LeaseID {
	var keys []tickKey
	for _, in := range []*bitset[tickKey]{&v.leases.unbound, &v.leases.due} {
		n := 0
		in.Scan(func(k tickKey) bool {
			if k.at > uint64(now) || n >= limit {
				return false
			}
			n++
			keys = append(keys, k)
			return true
		})
	}
	slices.SortFunc(keys, func(a, b tickKey) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	ids := make([]api.LeaseID, 0, min(limit, len(keys)))
	for _, k := range keys[:cap(ids)] {
		r, _ := v.leases.byEpoch.Get(k.epoch)
		ids = append(ids, r.id())
	}
	return ids
}

// Unbound returns how many leases wait for their first binding.
func (v *View) Unbound() int { return v.leases.unbound.Len() }

// NextDue returns the earliest cluster time at which a lease is due; false when none is.
func (v *View) NextDue() (api.Tick, bool) {
	a, waits := v.leases.unbound.Min()
	b, ok := v.leases.due.Min()
	if !ok || waits && a.at < b.at {
		return api.Tick(a.at), waits
	}
	return api.Tick(b.at), true
}

// owned lists the records of one owner by id.
func owned[K ~string, V any](t *set[ownKey], owner string, byID *records[K, V]) []V {
	var list []V
	t.Ascend(ownKey{owner: owner}, func(k ownKey, _ struct{}) bool {
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
func changed[K ~string, V any](t *set[changeKey], owner string, after uint64, byID *records[K, V]) []V {
	if after == math.MaxUint64 {
		return nil
	}
	var list []V
	t.Ascend(changeKey{owner: owner, modified: after + 1}, func(k changeKey, _ struct{}) bool {
		if k.owner != owner {
			return false
		}
		v, _ := byID.Get(K(k.id))
		list = append(list, v)
		return true
	})
	return list
}

// ScanLeases visits every lease, of any state, in the order in which they were granted, until
// visit returns false.
func (v *View) ScanLeases(visit func(api.Lease) bool) {
	v.leases.byEpoch.Scan(func(_ serial, r leaseRecord) bool { return visit(r.lease()) })
}
