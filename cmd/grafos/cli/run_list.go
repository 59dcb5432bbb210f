package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type runListOptions struct {
	watch    bool
	tenant   string
	provider string
	cell     string
	state    string
}

func (a *app) runList() *cobra.Command {
	var o runListOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Runs, also those that ended in the last hours",
		Args:  exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			filter, err := o.filter()
			if err != nil {
				return err
			}
			return s.Show(ctx, o.watch, func(ctx context.Context, r api.ReadOptions) (ui.Watched, error) {
				list, err := s.allRuns(ctx, filter, r)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, Fresh: list.Freshness, View: func(p *ui.Page) { runsView(p, list.Runs, s.Now()) }}, nil
			})
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&o.tenant, "tenant", "", "only those of this `tenant`")
	fs.StringVar(&o.provider, "provider", "", "only those of this `provider`")
	fs.StringVar(&o.cell, "cell", "", "only those on this `cell`")
	fs.StringVar(&o.state, "state", "", "only those in this `state`")
	watchFlag(cmd, &o.watch)
	return cmd
}

func (o *runListOptions) filter() (api.RunFilter, error) {
	known := []api.RunState{
		api.RunAdmitted, api.RunPlaced, api.RunRunning,
		api.RunSucceeded, api.RunFailed, api.RunExpired, api.RunRevoked, api.RunLost,
	}
	if o.state != "" && !slices.Contains(known, api.RunState(o.state)) {
		return api.RunFilter{}, unknownState(o.state, known)
	}
	return api.RunFilter{
		Tenant: api.TenantID(o.tenant), Provider: api.ProviderID(o.provider),
		Cell: api.CellID(o.cell), State: api.RunState(o.state),
	}, nil
}
