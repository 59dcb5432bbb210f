package cli

import "github.com/spf13/cobra"

func (a *app) conformance() *cobra.Command {
	return group("conformance", "Proof that a cell keeps the promises of leases and tokens",
		a.suggest(a.conformanceRun(), listProviders, listCellsOf),
	)
}
