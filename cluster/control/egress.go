package control

import (
	"context"

	"github.com/grafos/grafos/api"
)

// mayReach refuses a run whose allow-list cannot be read, or lists what its caller may not open: addresses
// that are no public ones are those of the cells' own networks, and of what serves the cells there.
// It is no check of the state machine's, which would have to read every old list as it was once read.
func mayReach(ctx context.Context, t *api.Terms) error {
	if t == nil {
		return nil
	}
	rules, err := api.ParseEgressList(t.Egress)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Special() && api.CallerFrom(ctx).Role != api.RoleOperator {
			return api.Refuse(api.Forbidden, "%s cannot list %s: it is no public address", api.CallerFrom(ctx).Actor(), r).
				WithHint("an operator may start the run for the tenant, or the service needs a public address")
		}
	}
	return nil
}

// reachesNothing refuses an allow-list of leases without a run: it is for the tasklet of one.
func reachesNothing(t *api.Terms) error {
	if t == nil || len(t.Egress) == 0 {
		return nil
	}
	return api.Refuse(api.InvalidArgument, "an allow-list is for the tasklet of a run, and a lease that is asked for by itself has none").
		WithHint("leave it out, or run a tasklet: grafos deploy run --net BITS --allow HOST:PORT")
}
