package capbroker

import (
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/capbroker/holder"
)

// Verified is a token whose signature, audience and time are good.
type Verified struct {
	Claims
	broker *Broker
	text   string
}

// Use is one operation that a token is shown for.
type Use struct {
	Op             string // read or write
	Offset, Length int64
	// Body is the SHA-256 of what is written; a proof is about it.
	Body [32]byte
	// Key names the key that the connection was made with; the zero one is none.
	Key holder.Thumbprint
	// Proof is what was sent as the holder's proof.
	Proof string
}

// Standing compares the token with the cell's own record of its lease. The record decides: a
// token of an earlier grant is stale_epoch, of an earlier generation stale_generation; a lease
// that ended is lease_expired, lease_revoked or lease_fenced.
func (c Claims) Standing(l api.Lease) error {
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
	return checkState(l)
}

// Named reports whether the token names the key of its holder.
func (c Claims) Named() bool { return c.Holder != (holder.Thumbprint{}) }

// Bound reports whether a use of the token has to be proved beyond the connection's own key.
func (c Claims) Bound(key holder.Thumbprint) bool {
	return c.Named() && c.Holder != key
}

// Confirm refuses who is not the token's holder: neither the connection was made with the
// holder's key, nor is there a proof of this one operation under a nonce of this cell that was
// not used before. A proof is good for one Confirm.
func (v *Verified) Confirm(u Use) error {
	if !v.Bound(u.Key) || mutant.On(mutant.AnyHolder) {
		return nil
	}
	if u.Proof == "" {
		return v.unproved("it was not proved")
	}
	nonce, err := holder.Verify(u.Proof, v.Holder, holder.Request{
		Op: u.Op, Lease: v.LeaseID, Cell: v.broker.cell, Token: v.text, Offset: u.Offset, Length: u.Length, Body: u.Body,
	})
	if err != nil {
		return err
	}
	return v.broker.nonces.spend(nonce, v.LeaseID, v.broker.now(), v.unproved)
}

// unproved asks for a proof with a new nonce.
func (c Claims) unproved(why string) error {
	return api.Refuse(api.Unauthenticated, "the capability token of lease %s is for the holder of key %s, and %s", c.LeaseID, c.Holder, why).
		WithHint("grafos lease read and write take --holder-key FILE; a program connects with that key's certificate, or sends a %s made with it and the %s of this answer", holder.ProofHeader, holder.NonceHeader)
}

// Allow refuses what the token does not say it is for.
func (c Claims) Allow(l api.Lease, u Use) error {
	if c.Issuer != string(l.CellID) {
		return api.Refuse(api.CaveatFailed, "the token is for cell %s, lease %s is on cell %s", c.Issuer, l.ID, l.CellID)
	}
	if c.Tenant != l.Tenant {
		return api.Refuse(api.CaveatFailed, "the token is of tenant %s, lease %s is another's", c.Tenant, l.ID)
	}
	if c.Kind != l.Kind || c.Amount != l.Amount {
		return api.Refuse(api.CaveatFailed, "the token is for %s of %d, lease %s is %s of %d", c.Kind, c.Amount, l.ID, l.Kind, l.Amount)
	}
	if !slices.Contains(c.Ops, u.Op) {
		return api.Refuse(api.CaveatFailed, "the token of %s lease %s does not allow %.20q: it allows %q", l.Kind, l.ID, u.Op, c.Ops)
	}
	for _, n := range c.Links {
		if err := n.Caveats.Allow(u.Op, u.Offset, u.Length); err != nil {
			return err
		}
	}
	return nil
}

// checkState refuses a lease that may not be used any more; the kind says why.
func checkState(l api.Lease) error {
	switch l.State {
	case api.LeaseActive, api.LeaseRevokeWarning, api.LeaseGraceRunning, api.LeaseCheckpoint:
		return nil
	case api.LeaseFenced:
		return api.RefuseFenced(&l, "its teardown failed")
	case api.LeaseExpired:
		return api.RefuseEnded(api.LeaseExpiredKind, "lease %s has expired", l.ID)
	case api.LeaseForcedTeardown, api.LeaseTornDown, api.LeaseFailedClosed:
		if l.Reason == string(api.LeaseExpired) {
			return api.RefuseEnded(api.LeaseExpiredKind, "lease %s has expired and is %s", l.ID, l.State)
		}
		return api.RefuseEnded(api.LeaseRevoked, "lease %s has ended and is %s, reason %q", l.ID, l.State, l.Reason)
	}
	return api.Refuse(api.LeaseRevoked, "lease %s is in state %.40q, which nothing is allowed in", l.ID, string(l.State))
}
