package cli

import "github.com/spf13/cobra"

func (a *app) lease() *cobra.Command {
	return group("lease", "Leases: resources with an end, and what is behind them",
		a.leaseRequest(), a.leaseList(), a.leaseShow(), a.leaseRenew(), a.leaseFree(), a.leaseRevoke(),
		a.leaseToken(), a.leaseRead(), a.leaseWrite())
}
