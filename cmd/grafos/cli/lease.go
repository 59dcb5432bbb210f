package cli

import "github.com/spf13/cobra"

func (a *app) lease() *cobra.Command {
	c := group("lease", "Leases: resources with an end, and what is behind them", a.leaseRequest(), a.leaseList())
	for _, about := range []*cobra.Command{
		a.leaseShow(), a.leaseRenew(), a.leaseFree(), a.leaseRevoke(), a.leaseToken(), a.leaseRead(), a.leaseWrite(),
	} {
		c.AddCommand(a.suggest(about, listLeases))
	}
	return c
}
