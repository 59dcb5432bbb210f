package capbroker

import (
	"crypto/rand"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/capbroker/holder"
)

// Mint makes a token for a lease of this cell. left is how long the lease has to live on
// the cell's own clock: the token ends with it, and no later than api.MaxTokenLife from
// now. It refuses a lease of another cell (wrong_audience), one without time left
// (lease_expired) and one that is no longer usable (lease_expired, lease_revoked or
// lease_fenced).
func (b *Broker) Mint(l api.Lease, left time.Duration) (string, error) {
	tokens, errs := b.MintAll([]api.Lease{l}, []time.Duration{left})
	return tokens[0], errs[0]
}

// MintAll is Mint for several leases at one moment: each has its token, or its refusal, at its own place.
func (b *Broker) MintAll(leases []api.Lease, left []time.Duration) ([]string, []error) {
	tokens, errs := make([]string, len(leases)), make([]error, len(leases))
	now := b.now().UTC()
	open := make([]unsigned, 0, len(leases))
	texts, which := make([][]byte, 0, len(leases)), make([]int, 0, len(leases))
	for i, l := range leases {
		if errs[i] = b.refuse(l, left[i]); errs[i] != nil {
			continue
		}
		u := b.frame.open(b.claimsOf(l, left[i], now))
		open, texts, which = append(open, u), append(texts, u.text), append(which, i)
	}
	for n, signature := range b.signer.signAll(texts) {
		i, token := which[n], b.frame.close(open[n], signature)
		if len(token) > MaxToken {
			errs[i] = api.Refuse(api.TooLarge, "the token of lease %.80q would be %d bytes long: at most %d", string(leases[i].ID), len(token), MaxToken)
			continue
		}
		tokens[i] = token
	}
	return tokens, errs
}

// refuse says why no token is made for a lease.
func (b *Broker) refuse(l api.Lease, left time.Duration) error {
	if l.CellID != b.cell {
		return api.Refuse(api.WrongAudience, "lease %s is of cell %.80q, this is cell %s", l.ID, string(l.CellID), b.cell)
	}
	if l.ID == "" || l.Tenant == "" || l.Generation == 0 || l.Amount <= 0 {
		return api.Refuse(api.InvalidArgument, "lease %q of tenant %q, generation %d, amount %d is not whole: no token stands for it",
			l.ID, l.Tenant, l.Generation, l.Amount)
	}
	if left <= 0 {
		return api.RefuseEnded(api.LeaseExpiredKind, "lease %s ended %s ago: no token outlives its lease", l.ID, span(-left))
	}
	if l.Holder != "" {
		if _, err := holder.ParseThumbprint(l.Holder); err != nil {
			return err // a token that nobody can use
		}
	}
	return checkState(l)
}

func (b *Broker) claimsOf(l api.Lease, left time.Duration, now time.Time) body {
	if mutant.On(mutant.LongToken) {
		left += time.Second
	}
	c := body{
		Version: tokenVersion, ID: rand.Text(), Issuer: string(b.cell), Audience: b.audience, Tenant: l.Tenant,
		IssuedAt: now, NotBefore: now, ExpiresAt: now.Add(min(left, api.MaxTokenLife)),
		LeaseID: l.ID, Run: l.RunID, Generation: l.Generation, Epoch: l.Epoch, CellEpoch: b.epoch.Load(),
		Kind: l.Kind, Amount: l.Amount, Holder: l.Holder,
	}
	if opensBytes(l) {
		c.Caveats = b.opens
	}
	return c
}

// span prints a duration to the millisecond.
func span(d time.Duration) string { return d.Round(time.Millisecond).String() }
