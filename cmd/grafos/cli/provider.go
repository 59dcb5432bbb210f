package cli

import "github.com/spf13/cobra"

func (a *app) provider() *cobra.Command {
	return group("provider", "Providers: places that host cells",
		a.providerList(), a.providerStatus(), a.providerEnable(true), a.providerEnable(false), a.providerRevokeCell())
}
