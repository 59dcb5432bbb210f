package fsm

import "github.com/grafos/grafos/api"

// AdvanceLeases names leases that the leader's timers found due. It only proposes: what
// happens is decided here, from the time of the entry.
type AdvanceLeases struct {
	Leases []api.LeaseID `json:"leases"`
}

// Kind returns KindAdvanceLeases.
func (AdvanceLeases) Kind() Kind { return KindAdvanceLeases }

// apply drops what is not due: a lease that was renewed or ended since. It answers with the
// leases that moved.
func (c AdvanceLeases) apply(s *State) (Result, *api.Error) {
	if len(c.Leases) > MaxAdvance {
		return Result{}, api.Refuse(api.TooLarge, "%d leases: at most %d are taken", len(c.Leases), MaxAdvance)
	}
	var res Result
	for _, id := range c.Leases {
		if l, ok := s.Lease(id); ok && s.advance(&l) {
			res.Leases = append(res.Leases, id)
		}
	}
	return res, nil
}

// advance does what is due with a lease, one step; false when nothing is.
func (s *State) advance(l *api.Lease) bool {
	at, ok := due(l)
	if !ok || at > s.meta.Now {
		return false
	}
	if !l.State.Usable() {
		// The cell could not be asked, and has stopped by itself (L4).
		s.end(l, api.LeaseFailedClosed, l.Reason, scheduler, "")
		return true
	}
	// What came due first is what happened, also when all of it is seen late.
	switch at {
	case l.Expires:
		s.expire(l, scheduler)
	case l.ForceAt:
		s.forceDown(l.ID, l.Reason, scheduler, "the grace is over")
	default:
		s.forceDown(l.ID, ReasonBindTimeout, scheduler, "the cell did not bind it in time")
	}
	return true
}
