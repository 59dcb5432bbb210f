package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// RevokeLease ends a lease against its holder's will, at once or after a grace.
type RevokeLease struct {
	Actor   string      `json:"actor"`
	Idem    Idem        `json:"idem"`
	Lease   api.LeaseID `json:"lease_id"`
	GraceMs int64       `json:"grace_ms,omitempty"`
	Reason  string      `json:"reason,omitempty"`
}

// Kind returns KindRevokeLease.
func (RevokeLease) Kind() Kind { return KindRevokeLease }

func (c RevokeLease) idem() Idem { return c.Idem }

// apply warns with a grace and forces without. Revoking a lease that was warned may shorten
// its grace, never lengthen it; one that is ending or has ended stays as it is. It refuses an
// unknown lease with not_found.
func (c RevokeLease) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkID("lease id", string(c.Lease)), checkGrace(c.GraceMs), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	l, ok := s.Lease(c.Lease)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "lease %s does not exist", c.Lease)
	}
	s.revoke(l.ID, c.GraceMs, ReasonRevoked, c.Actor, c.Reason)
	return Result{Leases: []api.LeaseID{l.ID}}, nil
}

// revoke ends a usable lease after a grace, at once when that is 0.
func (s *State) revoke(id api.LeaseID, graceMs int64, reason, actor, comment string) {
	l, ok := s.Lease(id)
	if !ok || !l.State.Usable() {
		return
	}
	if graceMs == 0 {
		s.forceDown(id, reason, actor, comment)
		return
	}
	if l.State == api.LeaseActive {
		s.warn(&l, graceMs, reason, actor, comment)
		return
	}
	if at := s.meta.Now + api.Tick(graceMs)*api.Tick(time.Millisecond); at < l.ForceAt {
		l.ForceAt = at
		s.putLease(&l)
		fact := s.leaseFact(&l)
		fact.Comment, fact.GraceMs = comment, graceMs
		s.auditLease(auditLeaseRevoked, actor, &l, &fact)
	}
}
