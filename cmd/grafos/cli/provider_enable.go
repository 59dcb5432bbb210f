package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// providerEnable is provider enable, or with on false provider disable.
func (a *app) providerEnable(on bool) *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "enable PROVIDER",
		Short: "Let a provider take new work",
		Args:  exactly("PROVIDER"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			status, err := s.EnableProvider(ctx, api.ProviderID(args[0]), on, write.options())
			if err != nil {
				return write.repeatable(err)
			}
			write.dry(s.UI)
			return s.Print(status, func(p *ui.Page) { providersView(p, []api.ProviderSummary{status.ProviderSummary}) })
		}),
	}
	if !on {
		cmd.Use, cmd.Short = "disable PROVIDER", "Let a provider take no new work; what runs goes on"
	}
	write.add(cmd)
	return cmd
}
