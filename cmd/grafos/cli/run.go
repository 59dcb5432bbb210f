package cli

import "github.com/spf13/cobra"

func (a *app) runs() *cobra.Command {
	return group("run", "Runs: what was deployed, and how it went", a.runList(), a.suggest(a.runShow(), listRuns))
}
