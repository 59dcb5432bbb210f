package cli

import "github.com/spf13/cobra"

func (a *app) provider() *cobra.Command {
	return group("provider", "Providers: places that host cells",
		a.providerList(),
		a.suggest(a.providerStatus(), listProviders),
		a.suggest(a.providerEnable(true), listProviders),
		a.suggest(a.providerEnable(false), listProviders),
		a.suggest(a.providerMark(), listProviders),
		a.suggest(a.providerRevokeCell(), listProviders, listCellsOf),
	)
}
