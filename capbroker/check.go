package capbroker

import (
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// Check compares the token with the cell's own record of its lease and one operation. The
// record decides: a token of an earlier grant is stale_epoch, of an earlier generation
// stale_generation; a lease that ended is lease_expired, lease_revoked or lease_fenced;
// what the token does not allow is caveat_failed.
func (c Claims) Check(l api.Lease, op string) error {
	if c.LeaseID != l.ID {
		return api.Refuse(api.CaveatFailed, "the token is of lease %s, the operation is on lease %s", c.LeaseID, l.ID)
	}
	if c.Epoch != l.Epoch {
		return api.Refuse(api.StaleEpoch, "the token is of epoch %d, lease %s has epoch %d", c.Epoch, l.ID, l.Epoch)
	}
	if c.Generation != l.Generation && !mutant.On(mutant.OldToken) {
		return api.Refuse(api.StaleGeneration, "the token is of generation %d, lease %s has generation %d", c.Generation, l.ID, l.Generation).
			WithHint("a renewal voids older tokens: use the one that it answered, or: grafos lease token %s", l.ID)
	}
	if err := checkState(l); err != nil {
		return err
	}
	return c.checkCaveats(l, op)
}

// checkCaveats refuses what the token does not say it is for.
func (c Claims) checkCaveats(l api.Lease, op string) error {
	if c.Audience != string(l.CellID) {
		return api.Refuse(api.CaveatFailed, "the token is for cell %s, lease %s is on cell %s", c.Audience, l.ID, l.CellID)
	}
	if c.Tenant != l.Tenant {
		return api.Refuse(api.CaveatFailed, "the token is of tenant %s, lease %s is another's", c.Tenant, l.ID)
	}
	if c.Kind != l.Kind || c.Amount != l.Amount {
		return api.Refuse(api.CaveatFailed, "the token is for %s of %d, lease %s is %s of %d", c.Kind, c.Amount, l.ID, l.Kind, l.Amount)
	}
	if !slices.Contains(c.Ops, op) {
		return api.Refuse(api.CaveatFailed, "the token of %s lease %s does not allow %.20q: it allows %q", l.Kind, l.ID, op, c.Ops)
	}
	return nil
}

// checkState refuses a lease that may not be used any more; the kind says why.
func checkState(l api.Lease) error {
	switch l.State {
	case api.LeaseActive, api.LeaseRevokeWarning, api.LeaseGraceRunning, api.LeaseCheckpoint:
		return nil
	case api.LeaseFenced:
		return api.Refuse(api.LeaseFencedKind, "lease %s is fenced: its teardown failed, nobody uses it any more", l.ID)
	case api.LeaseExpired:
		return api.Refuse(api.LeaseExpiredKind, "lease %s has expired", l.ID)
	case api.LeaseForcedTeardown, api.LeaseTornDown, api.LeaseFailedClosed:
		if l.Reason == string(api.LeaseExpired) {
			return api.Refuse(api.LeaseExpiredKind, "lease %s has expired and is %s", l.ID, l.State)
		}
		return api.Refuse(api.LeaseRevoked, "lease %s has ended and is %s, reason %q", l.ID, l.State, l.Reason)
	}
	return api.Refuse(api.LeaseRevoked, "lease %s is in state %.40q, which nothing is allowed in", l.ID, string(l.State))
}
