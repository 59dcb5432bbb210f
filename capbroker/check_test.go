package capbroker

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func claimsOf(l api.Lease) Claims {
	return Claims{
		LeaseID: l.ID, Generation: l.Generation, Epoch: l.Epoch, Tenant: l.Tenant, Kind: l.Kind, Amount: l.Amount,
		Issuer: string(l.CellID), Audience: string(l.CellID) + "/data", Ops: []string{OpRead, OpWrite},
	}
}

// check is what a cell asks of a token, but for the holder.
func (c Claims) check(l api.Lease, op string) error {
	if err := c.Standing(l); err != nil {
		return err
	}
	return c.Allow(l, Use{Op: op})
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*api.Lease) // of the cell's record, since the token was minted
		op     string
		kind   api.Kind // "" is allowed
		says   string
	}{
		"read":              {func(*api.Lease) {}, OpRead, "", ""},
		"write":             {func(*api.Lease) {}, OpWrite, "", ""},
		"warned":            {func(l *api.Lease) { l.State = api.LeaseRevokeWarning }, OpRead, "", ""},
		"in grace":          {func(l *api.Lease) { l.State = api.LeaseGraceRunning }, OpRead, "", ""},
		"checkpoint":        {func(l *api.Lease) { l.State = api.LeaseCheckpoint }, OpWrite, "", ""},
		"another lease":     {func(l *api.Lease) { l.ID = "l-2" }, OpRead, api.CaveatFailed, "of lease l-1, the operation is on lease l-2"},
		"granted again":     {func(l *api.Lease) { l.Epoch = 43 }, OpRead, api.StaleEpoch, "epoch 42, lease l-1 has epoch 43"},
		"epoch of the past": {func(l *api.Lease) { l.Epoch = 41 }, OpRead, api.StaleEpoch, "has epoch 41"},
		"renewed":           {func(l *api.Lease) { l.Generation = 4 }, OpRead, api.StaleGeneration, "generation 3, lease l-1 has generation 4"},
		"generation ahead":  {func(l *api.Lease) { l.Generation = 2 }, OpRead, api.StaleGeneration, "has generation 2"},
		"expired":           {func(l *api.Lease) { l.State = api.LeaseExpired }, OpRead, api.LeaseExpiredKind, "expired"},
		"fenced":            {func(l *api.Lease) { l.State, l.Reason = api.LeaseFenced, "expired" }, OpRead, api.LeaseFencedKind, "fenced"},
		"unfenced":          {func(l *api.Lease) { l.State, l.Unfenced = api.LeaseFenced, 1 }, OpRead, api.LeaseFencedKind, "given back"},
		"released":          {func(l *api.Lease) { l.State, l.Reason = api.LeaseForcedTeardown, "released" }, OpRead, api.LeaseRevoked, `"released"`},
		"revoked":           {func(l *api.Lease) { l.State, l.Reason = api.LeaseTornDown, "revoked" }, OpRead, api.LeaseRevoked, "torndown"},
		"expired and gone":  {func(l *api.Lease) { l.State, l.Reason = api.LeaseTornDown, "expired" }, OpRead, api.LeaseExpiredKind, "torndown"},
		"failed closed":     {func(l *api.Lease) { l.State, l.Reason = api.LeaseFailedClosed, "expired" }, OpRead, api.LeaseExpiredKind, "failed_closed"},
		"unknown state":     {func(l *api.Lease) { l.State = "dreaming" }, OpRead, api.LeaseRevoked, "dreaming"},
		"another tenant":    {func(l *api.Lease) { l.Tenant = "evil" }, OpRead, api.CaveatFailed, "tenant acme"},
		"another kind":      {func(l *api.Lease) { l.Kind = api.KindBlock }, OpRead, api.CaveatFailed, "is block"},
		"another amount":    {func(l *api.Lease) { l.Amount++ }, OpRead, api.CaveatFailed, "1048577"},
		"another cell":      {func(l *api.Lease) { l.CellID = "aws-2" }, OpRead, api.CaveatFailed, "on cell aws-2"},
		"unknown operation": {func(*api.Lease) {}, "delete", api.CaveatFailed, `does not allow "delete"`},
		"no operation":      {func(*api.Lease) {}, "", api.CaveatFailed, `does not allow ""`},
		// The order: what is newer speaks before what has ended, and that before caveats.
		"epoch before state":      {func(l *api.Lease) { l.Epoch, l.State = 43, api.LeaseFenced }, OpRead, api.StaleEpoch, ""},
		"generation before state": {func(l *api.Lease) { l.Generation, l.State = 4, api.LeaseFenced }, OpRead, api.StaleGeneration, ""},
		"state before caveats":    {func(l *api.Lease) { l.Tenant, l.State = "evil", api.LeaseExpired }, "delete", api.LeaseExpiredKind, ""},
	} {
		t.Run(name, func(t *testing.T) {
			token, l := claimsOf(memLease()), memLease()
			c.change(&l)
			err := token.check(l, c.op)
			if c.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, c.kind, c.says)
			over := c.kind == api.LeaseFencedKind || c.kind == api.LeaseExpiredKind || c.kind == api.LeaseRevoked && c.says != "dreaming"
			if over && api.Problem(err).Hint == "" {
				t.Error("nothing says what to do about a lease that is over")
			}
		})
	}
}

// Whatever the state, Check allows exactly what api calls usable.
func TestCheckFollowsUsable(t *testing.T) {
	for _, s := range api.LeaseStates() {
		l := memLease()
		l.State = s
		if err := claimsOf(l).check(l, OpRead); (err == nil) != s.Usable() {
			t.Errorf("%s: usable %v, Check says %v", s, s.Usable(), err)
		}
	}
}

// A token is good for its own record and for no other in any field that it speaks of.
func TestCheckIsExact(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) api.Lease {
		return api.Lease{
			ID: api.LeaseID(rapid.SampledFrom([]string{"l-1", "l-2"}).Draw(t, "id")), Tenant: api.TenantID(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant")),
			CellID: api.CellID(rapid.SampledFrom([]string{"c-1", "c-2"}).Draw(t, "cell")), Kind: rapid.SampledFrom([]api.LeaseKind{api.KindMem, api.KindBlock}).Draw(t, "kind"),
			Amount: rapid.Int64Range(1, 2).Draw(t, "amount"), Generation: rapid.Uint64Range(1, 2).Draw(t, "generation"),
			Epoch: rapid.Uint64Range(1, 2).Draw(t, "epoch"), State: api.LeaseActive,
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		minted, now := gen.Draw(t, "minted"), gen.Draw(t, "now")
		if err := claimsOf(minted).check(now, OpRead); (err == nil) != (minted == now) {
			t.Fatalf("token of %+v on %+v: %v", minted, now, err)
		}
	})
}
