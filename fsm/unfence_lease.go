package fsm

import "github.com/grafos/grafos/api"

// UnfenceLease clears the fence of a lease whose teardown failed: an operator says that its
// resource may be given again. The lease stays fenced, as it ended; it takes no capacity any more.
type UnfenceLease struct {
	Actor  string      `json:"actor"`
	Idem   Idem        `json:"idem"`
	Lease  api.LeaseID `json:"lease_id"`
	Reason string      `json:"reason,omitempty"`
}

// Kind returns KindUnfenceLease.
func (UnfenceLease) Kind() Kind { return KindUnfenceLease }

func (c UnfenceLease) idem() Idem { return c.Idem }

// apply gives the capacity back. Clearing a fence that was cleared changes nothing. It refuses an
// unknown lease with not_found, and one that is not fenced with conflict.
func (c UnfenceLease) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkID("lease id", string(c.Lease)), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	l, ok := s.Lease(c.Lease)
	switch {
	case !ok:
		return Result{}, api.Refuse(api.NotFound, "lease %s does not exist", c.Lease)
	case l.State != api.LeaseFenced:
		return Result{}, api.Refuse(api.Conflict, "lease %s is %s: there is no fence to clear", l.ID, l.State)
	case l.Fenced():
		l.Unfenced, l.UnfencedAt = max(s.meta.Now, 1), s.Wall() // 0 is a fence that stands
		s.putLease(&l)
		s.shrinkHeld(l.CellID)
		fact := s.leaseFact(&l)
		fact.Comment = c.Reason
		s.auditLease(auditLeaseUnfenced, c.Actor, &l, &fact)
	}
	return Result{Leases: []api.LeaseID{l.ID}}, nil
}
