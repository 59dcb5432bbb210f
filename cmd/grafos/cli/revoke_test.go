package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestWasEnding: whoever revokes a lease that ends already hears that, and when it ends.
func TestWasEnding(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	lease := func(state api.LeaseState, announced time.Duration) api.Lease {
		l := api.Lease{ID: "l-1", State: state, Reason: "revoked", ExpiresAt: now.Add(time.Hour), EndedAt: now.Add(-time.Minute), Expires: api.Tick(time.Hour)}
		if announced > 0 {
			l.ForceAt = api.Tick(announced)
		}
		return l
	}
	for name, tt := range map[string]struct {
		before, after api.Lease
		want          string
	}{
		"the first":        {lease(api.LeaseActive, 0), lease(api.LeaseRevokeWarning, time.Minute), ""},
		"at once":          {lease(api.LeaseActive, 0), lease(api.LeaseForcedTeardown, 0), ""},
		"again":            {lease(api.LeaseGraceRunning, time.Minute), lease(api.LeaseGraceRunning, time.Minute), "it is grace_running (revoked), and ends as before at 2026-11-23T12:01:00Z, in 1m"},
		"by itself":        {lease(api.LeaseRevokeWarning, 2*time.Hour), lease(api.LeaseGraceRunning, 2*time.Hour), "ends as before at 2026-11-23T13:00:00Z"},
		"sooner":           {lease(api.LeaseGraceRunning, time.Minute), lease(api.LeaseGraceRunning, 10*time.Second), "at 2026-11-23T12:01:00Z; now it ends at 2026-11-23T12:00:10Z, in 10s"},
		"now":              {lease(api.LeaseGraceRunning, time.Minute), lease(api.LeaseForcedTeardown, time.Minute), "until 2026-11-23T12:01:00Z; now it ends at once"},
		"being torn down":  {lease(api.LeaseForcedTeardown, 0), lease(api.LeaseForcedTeardown, 0), "was ending already: it is forced_teardown (revoked)"},
		"that has ended":   {lease(api.LeaseTornDown, 0), lease(api.LeaseTornDown, 0), "had ended already: it is torndown (revoked), since 2026-11-23T11:59:00Z"},
		"that ended alone": {lease(api.LeaseExpired, 0), lease(api.LeaseExpired, 0), "was ending already: it is expired"},
	} {
		if got := wasEnding(tt.before, tt.after, now); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	r := newRig(t)
	r.leases[0].State, r.leases[0].Reason = api.LeaseTornDown, "released"
	r.run("lease", "revoke", string(r.leases[0].ID), "--yes").want(t, 0, string(r.leases[0].ID), "had ended already: it is torndown (released)")
	if got := r.run("lease", "revoke", string(r.leases[0].ID), "--yes", "--json"); got.err != "" {
		t.Errorf("a program is told on standard error: %q", got.err)
	}
}

// TestRevokeCellQuestion: what is asked is what the command's help says of it.
func TestRevokeCellQuestion(t *testing.T) {
	cell := api.Cell{CellID: "aws-1", Provider: "aws", Leases: 2}
	for want, o := range map[string]revokeCellOptions{
		"It holds 2 leases, which drain for 10s and are then torn down.": {grace: 10 * time.Second},
		"which nobody hears of any more: they end at their own times.":   {now: true},
	} {
		if got := o.question(cell); !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
	}
}
