package cli

import "github.com/spf13/cobra"

func (a *app) fabric() *cobra.Command {
	return group("fabric", "The fleet: its cells, and everything that happens", a.fabricCells(), a.fabricEvents(), a.fabricDrain(), a.fabricUndrain(), a.fabricMark())
}
