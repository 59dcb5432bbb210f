package capbroker

import (
	"crypto/rand"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// Mint makes a token for a lease of this cell. left is how long the lease has to live on
// the cell's own clock: the token ends with it, and no later than api.MaxTokenLife from
// now. It refuses a lease of another cell (wrong_audience), one without time left
// (lease_expired) and one that is no longer usable (lease_expired, lease_revoked or
// lease_fenced).
func (b *Broker) Mint(l api.Lease, left time.Duration) (string, error) {
	if l.CellID != b.cell {
		return "", api.Refuse(api.WrongAudience, "lease %s is of cell %.80q, this is cell %s", l.ID, string(l.CellID), b.cell)
	}
	if l.ID == "" || l.Tenant == "" || l.Generation == 0 || l.Amount <= 0 {
		return "", api.Refuse(api.InvalidArgument, "lease %q of tenant %q, generation %d, amount %d is not whole: no token stands for it",
			l.ID, l.Tenant, l.Generation, l.Amount)
	}
	if left <= 0 {
		return "", api.Refuse(api.LeaseExpiredKind, "lease %s ended %s ago: no token outlives its lease", l.ID, span(-left))
	}
	if err := checkState(l); err != nil {
		return "", err
	}
	if mutant.On(mutant.LongToken) {
		left += time.Second
	}
	now := b.now().UTC()
	token := b.frame.sign(body{
		Version: tokenVersion, ID: rand.Text(), Audience: string(b.cell), Tenant: l.Tenant,
		IssuedAt: now, ExpiresAt: now.Add(min(left, api.MaxTokenLife)),
		LeaseID: l.ID, Generation: l.Generation, Epoch: l.Epoch, Kind: l.Kind, Amount: l.Amount, Ops: opsOf(l),
	}, b.secret)
	if len(token) > MaxToken {
		return "", api.Refuse(api.TooLarge, "the token of lease %.80q would be %d bytes long: at most %d", string(l.ID), len(token), MaxToken)
	}
	return token, nil
}

// span prints a duration to the millisecond.
func span(d time.Duration) string { return d.Round(time.Millisecond).String() }
