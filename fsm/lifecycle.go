package fsm

import (
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// The reasons why a lease ends. A cell may report others.
const (
	ReasonReleased    = "released"     // its owner freed it, or its run ended
	ReasonExpired     = "expired"      // its time was over
	ReasonRevoked     = "revoked"      // somebody revoked it
	ReasonCellRevoked = "cell_revoked" // its cell was revoked
	ReasonBindTimeout = "bind_timeout" // its cell did not bind it in time
	ReasonLost        = "lost"         // its run was lost
)

func leaseSubject(l *api.Lease) subject {
	return subject{Provider: l.Provider, Cell: l.CellID, Lease: l.ID, Run: l.RunID, Tenant: l.Tenant}
}

// turn moves a lease to its next state. Whoever calls has asked CanBecome or knows; a step
// that the protocol does not have is a bug, and stops the node before anybody relies on it.
func (s *State) turn(l *api.Lease, next api.LeaseState, reason string) {
	if !l.State.CanBecome(next) {
		s.fail(fmt.Errorf("lease %s cannot become %s from %s", l.ID, next, l.State))
		return
	}
	l.State = next
	if l.Reason == "" {
		l.Reason = reason
	}
	if next.Terminal() {
		l.Ended, l.EndedAt = s.meta.Now, s.Wall()
	}
	s.putLease(l)
}

// forceDown orders the teardown of a lease that is still usable; what is ending already goes
// on as it does. comment is what whoever asked said.
//
// It takes an id, not a record: forcing one lease of a run down forces the others, so that
// a record which the caller read before may be old.
func (s *State) forceDown(id api.LeaseID, reason, actor, comment string) {
	l, ok := s.Lease(id)
	if !ok || !l.State.Usable() {
		return
	}
	announced := l.State != api.LeaseActive
	s.turn(&l, api.LeaseForcedTeardown, reason)
	fact := s.leaseFact(&l)
	fact.Comment = comment
	switch {
	case reason == ReasonReleased:
		s.auditLease(auditLeaseReleased, actor, &l, &fact)
	case (reason == ReasonRevoked || reason == ReasonCellRevoked) && !announced:
		s.auditLease(auditLeaseRevoked, actor, &l, &fact)
	default:
		s.eventLease(eventLeaseForced, actor, &l, &fact)
	}
	s.haltRun(&l, actor)
}

// warn announces the end of an active lease: it is forced down when the grace is over.
func (s *State) warn(l *api.Lease, graceMs int64, reason, actor, comment string) {
	l.ForceAt = s.meta.Now + api.Tick(graceMs)*api.Tick(time.Millisecond)
	s.turn(l, api.LeaseRevokeWarning, reason)
	fact := s.leaseFact(l)
	fact.Comment, fact.GraceMs = comment, graceMs
	s.auditLease(auditLeaseRevoked, actor, l, &fact)
}

// expire ends the use of a lease whose time is over; its cell has stopped or is stopping.
func (s *State) expire(l *api.Lease, actor string) {
	s.turn(l, api.LeaseExpired, ReasonExpired)
	fact := s.leaseFact(l)
	s.auditLease(auditLeaseExpired, actor, l, &fact)
	s.haltRun(l, actor)
}

// end makes a lease terminal: its cell said so, or must have stopped by itself.
func (s *State) end(l *api.Lease, state api.LeaseState, reason, actor, comment string) {
	s.turn(l, state, reason)
	fact := s.leaseFact(l)
	fact.Comment = comment
	kind := auditLeaseTornDown
	switch state {
	case api.LeaseFenced:
		kind = auditLeaseFenced
	case api.LeaseFailedClosed:
		kind = auditLeaseFailedClosed
	case api.LeaseTornDown, api.LeaseActive, api.LeaseRevokeWarning, api.LeaseGraceRunning,
		api.LeaseCheckpoint, api.LeaseForcedTeardown, api.LeaseExpired:
	}
	s.auditLease(kind, actor, l, &fact)
	if l.RunID != "" {
		s.settleRun(l.RunID)
	}
}

// haltRun orders the teardown of the other leases of a run that just lost the use of one:
// it cannot go on without it, and holds nothing longer than it must.
func (s *State) haltRun(l *api.Lease, actor string) {
	if l.RunID == "" {
		return
	}
	for _, other := range s.LeasesOfRun(l.RunID) {
		if other.State != api.LeaseCheckpoint { // whose cell is ending it with the run: nothing is forced
			s.forceDown(other.ID, l.Reason, actor, "")
		}
	}
}
