package ledger

import "github.com/grafos/grafos/api"

// Phase is what became of a lease on its cell.
type Phase byte

// The phases, as they stand in the file.
const (
	Accepted Phase = 'b' // it may be bound
	Ended    Phase = 'e' // it was torn down, or refused
	Fenced   Phase = 'x' // its teardown failed
)

// Entry is what is known of one lease.
type Entry struct {
	Lease      api.LeaseID
	Epoch      uint64
	Generation uint64
	Tenant     api.TenantID
	Kind       api.LeaseKind
	Use        api.Use
	Amount     int64
	// Run is set for a lease of a run, which does not survive its agent.
	Run api.RunID
	// GPU is which gpus it has; nil is that it does not say.
	GPU *api.GPUTerms
	// BootID and Deadline are when the cell stops it, on the clock of that boot.
	BootID   string
	Deadline int64
	Phase    Phase
	// Path is the file of what is fenced, Reason why it is.
	Path, Reason string
	// Known is one more than the cluster epoch in which the schedulers were last seen to know of the
	// fence; 0 is that they were not.
	Known uint64
}

// EntryOf returns the entry of a lease that is accepted until a deadline of this boot.
func EntryOf(l *api.Lease, bootID string, deadline int64) Entry {
	return Entry{
		Lease: l.ID, Epoch: l.Epoch, Generation: l.Generation, Tenant: l.Tenant, Kind: l.Kind, Use: l.Use, Amount: l.Amount,
		Run: l.RunID, GPU: l.Terms.Devices(), BootID: bootID, Deadline: deadline, Phase: Accepted,
	}
}

// Keeps reports whether the lease outlives its agent, if its end has not come: a block of its own, whose
// deadline is on the clock of this boot.
func (e *Entry) Keeps(bootID string) bool {
	return e.Phase == Accepted && e.Kind == api.KindBlock && e.Run == "" && e.BootID == bootID
}

// Survives reports whether the lease outlives its agent now.
func (e *Entry) Survives(bootID string, now int64) bool { return e.Keeps(bootID) && now < e.Deadline }

// Grant returns the lease as far as it is known.
func (e *Entry) Grant() api.Lease {
	var terms *api.Terms
	if e.GPU != nil {
		terms = &api.Terms{GPU: e.GPU}
	}
	return api.Lease{
		Terms: terms, ID: e.Lease, Tenant: e.Tenant, Kind: e.Kind, Use: e.Use, Amount: e.Amount, Epoch: e.Epoch, Generation: e.Generation,
		State: api.LeaseActive,
	}
}

// newer reports whether e says more than what is known of the same lease: the later grant, of
// that the later generation, of that what came after it.
func (e *Entry) newer(known *Entry) bool {
	switch {
	case e.Epoch != known.Epoch:
		return e.Epoch > known.Epoch
	case (e.Phase == Fenced) != (known.Phase == Fenced):
		return e.Phase == Fenced // a fence stays until it is lifted
	case e.Generation != known.Generation:
		return e.Generation > known.Generation
	}
	return known.Phase == Accepted || e.Known > known.Known
}

// Floor is the newest of what the cell has accepted: it takes nothing of an older cluster, and no
// lease that it does not know with a fencing number that is not higher.
type Floor struct {
	Cluster uint64 // the cluster epoch
	Epoch   uint64 // the newest fencing number that was given
}

// Above reports whether a set that says other is older than the floor.
func (f Floor) Above(other Floor) bool { return other.Cluster < f.Cluster || other.Epoch < f.Epoch }

// Raise returns the higher of both in each number.
func (f Floor) Raise(other Floor) Floor {
	return Floor{Cluster: max(f.Cluster, other.Cluster), Epoch: max(f.Epoch, other.Epoch)}
}
