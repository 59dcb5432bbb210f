package cli

import "github.com/spf13/cobra"

func (a *app) deploy() *cobra.Command {
	return group("deploy", "Deploy tasklets: see where one would run, or run it", a.deployPlan(), a.deployRun())
}
