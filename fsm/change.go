package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// Change is what one entry changed, for a checker that wants to keep pace with the state
// without looking at all of it. It and what it points to are the callee's to keep, but for
// the slices, which are used again.
type Change struct {
	Index uint64
	Tick  api.Tick // cluster time after the entry
	// Epoch is the newest fencing number, ClusterEpoch counts recoveries, Level is the feature level: all
	// after the entry.
	Epoch        uint64
	ClusterEpoch uint64
	Level        Level
	Head         api.AuditHead

	// Every write of a record, in order: a record that was written twice is there twice.
	Leases  []Changed[api.Lease]
	Runs    []Changed[api.Run]
	Cells   []Changed[api.CellRecord]
	Tenants []Changed[api.Tenant]
	Keys    []Changed[IdemRecord]

	Events  []api.Event
	Audit   []api.AuditRecord
	Results []Result
}

// Changed is one write of a record: Old is nil when it is new, New when it was forgotten.
type Changed[T any] struct{ Old, New *T }

func changedFrom[T any](old T, had bool, now T) Changed[T] {
	if !had {
		return Changed[T]{New: &now}
	}
	return Changed[T]{Old: &old, New: &now}
}

func forgotten[T any](old T) Changed[T] { return Changed[T]{Old: &old} }

// changedLease copies what it is given: while nobody wants to know what changed, a lease
// does not leave the stack.
func changedLease(old, now *api.Lease) (c Changed[api.Lease]) {
	if old != nil {
		was := *old
		c.Old = &was
	}
	if now != nil {
		is := *now
		c.New = &is
	}
	return c
}

// reset empties a change for the next entry.
func (c *Change) reset() {
	*c = Change{
		Leases: again(c.Leases), Runs: again(c.Runs), Cells: again(c.Cells), Tenants: again(c.Tenants), Keys: again(c.Keys),
	}
}

// tell fills in what is known when the entry is done.
func (s *State) tell(results []Result) Change {
	c := s.change
	c.Index, c.Tick, c.Epoch, c.ClusterEpoch, c.Level = s.meta.Index, s.meta.Now, s.meta.Epoch, s.meta.ClusterEpoch, s.meta.Level
	c.Head, c.Audit, c.Results = s.meta.Audit, s.audits, results
	kept := s.events
	kept.data = slices.Clone(kept.data)
	c.Events = kept.events()
	for i, r := range c.Audit {
		c.Audit[i] = r.Clone()
	}
	return *c
}
