package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// RenewLease extends a lease's deadline from now and voids its older tokens.
type RenewLease struct {
	Actor string      `json:"actor"`
	Idem  Idem        `json:"idem"`
	Lease api.LeaseID `json:"lease_id"`
	TTLMs int64       `json:"ttl_ms"`
	Stamp api.Stamp   `json:"stamp"`
}

// Kind returns KindRenewLease.
func (RenewLease) Kind() Kind { return KindRenewLease }

func (c RenewLease) idem() Idem { return c.Idem }

// apply refuses a lease that is not active: its end has begun and cannot be taken back. The
// time by which its cell must have stopped never moves back, since the cell may miss the
// renewal and go on by the deadline before (L4): a renewal for less than is left lasts as
// long as what is left.
func (c RenewLease) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkID("lease id", string(c.Lease)), api.Problem(api.CheckTTL(c.TTLMs)), checkStamp(c.Stamp)); p != nil {
		return Result{}, p
	}
	l, ok := s.Lease(c.Lease)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "lease %s does not exist", c.Lease)
	}
	if p := s.mayRenew(&l); p != nil {
		return Result{}, p
	}
	l.TTLMs = max(c.TTLMs, leastTTL(s.meta.Now, l.StoppedBy()))
	if !mutant.On(mutant.KeepGeneration) {
		l.Generation++
	}
	l.Stamp = c.Stamp
	l.Expires = s.meta.Now + api.Tick(l.TTL())
	l.ExpiresAt = s.after(l.TTL())
	s.putLease(&l)
	if !mutant.On(mutant.SilentRenewal) {
		fact := s.leaseFact(&l)
		s.auditLease(auditLeaseRenewed, c.Actor, &l, &fact)
	}
	return Result{Leases: []api.LeaseID{l.ID}}, nil
}

// leastTTL returns the shortest time to live, in ms, of a renewal at now with which the cell
// has not to stop before stopped: now + ttl + HoldDown(ttl) >= stopped.
func leastTTL(now, stopped api.Tick) int64 {
	left := time.Duration(stopped-now) - api.HoldDown(0)
	if left <= 0 {
		return 0
	}
	ms := left.Microseconds() * 1_000 / (1_000_000 + api.DriftPPM)
	for ttl := ms * int64(time.Millisecond); now+api.Tick(ttl)+api.Tick(api.HoldDown(time.Duration(ttl))) < stopped; ttl += int64(time.Millisecond) {
		ms++ // the division rounded down; a step or two
	}
	return ms
}

// mayRenew says why a lease can no longer be renewed.
func (s *State) mayRenew(l *api.Lease) *api.Error {
	switch l.State {
	case api.LeaseActive:
		if l.Expires > s.meta.Now {
			return nil
		}
		return api.RefuseEnded(api.LeaseExpiredKind, "lease %s ran out %s ago", l.ID, time.Duration(s.meta.Now-l.Expires).Round(time.Millisecond))
	case api.LeaseFenced:
		return api.RefuseFenced(l, "its teardown failed")
	case api.LeaseExpired:
		return api.RefuseEnded(api.LeaseExpiredKind, "lease %s has expired", l.ID)
	case api.LeaseRevokeWarning, api.LeaseGraceRunning, api.LeaseCheckpoint:
		return api.Refuse(api.LeaseRevoked, "lease %s is being revoked: it is %s and is forced down in %s", l.ID, l.State,
			time.Duration(l.ForceAt-s.meta.Now).Round(time.Millisecond)).
			WithHint("it is not renewed any more: save what it holds, and request another with: grafos lease request")
	case api.LeaseForcedTeardown, api.LeaseTornDown, api.LeaseFailedClosed:
	}
	kind := api.LeaseRevoked
	if l.Reason == ReasonExpired {
		kind = api.LeaseExpiredKind
	}
	return api.RefuseEnded(kind, "lease %s is %s: %s", l.ID, l.State, l.Reason)
}
