package fsm

import "github.com/grafos/grafos/api"

// FreeLease gives a lease back before its time. Cleaning up always works: freeing what is
// ending or has ended is no error.
type FreeLease struct {
	Actor  string      `json:"actor"`
	Idem   Idem        `json:"idem"`
	Lease  api.LeaseID `json:"lease_id"`
	Reason string      `json:"reason,omitempty"`
}

// Kind returns KindFreeLease.
func (FreeLease) Kind() Kind { return KindFreeLease }

func (c FreeLease) idem() Idem { return c.Idem }

// apply orders the teardown; the lease keeps its resource until the cell confirms (L1). It
// refuses an unknown lease with not_found.
func (c FreeLease) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkID("lease id", string(c.Lease)), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	l, ok := s.Lease(c.Lease)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "lease %s does not exist", c.Lease)
	}
	s.forceDown(l.ID, ReasonReleased, c.Actor, c.Reason)
	return Result{Leases: []api.LeaseID{l.ID}}, nil
}
