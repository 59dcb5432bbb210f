package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseListOptions struct {
	watch    bool
	all      bool
	tenant   string
	provider string
	cell     string
	run      string
	state    string
}

func (a *app) leaseList() *cobra.Command {
	var o leaseListOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Leases, those that have ended only with --all",
		Args:  exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			filter, err := o.filter()
			if err != nil {
				return err
			}
			return s.Show(ctx, o.watch, func(ctx context.Context, r api.ReadOptions) (ui.Watched, error) {
				list, err := s.allLeases(ctx, filter, r)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, Fresh: list.Freshness, View: func(p *ui.Page) { leasesView(p, list.Leases, s.Now()) }}, nil
			})
		}),
	}
	fs := cmd.Flags()
	fs.BoolVar(&o.all, "all", false, "also those that have ended")
	fs.StringVar(&o.tenant, "tenant", "", "only those of this `tenant`")
	fs.StringVar(&o.provider, "provider", "", "only those of this `provider`")
	fs.StringVar(&o.cell, "cell", "", "only those on this `cell`")
	fs.StringVar(&o.run, "run", "", "only those of this `run`")
	fs.StringVar(&o.state, "state", "", "only those in this `state`")
	watchFlag(cmd, &o.watch)
	return cmd
}

func (o *leaseListOptions) filter() (api.LeaseFilter, error) {
	state := api.LeaseState(o.state)
	if o.state != "" && !slices.Contains(api.LeaseStates(), state) {
		return api.LeaseFilter{}, unknownState(o.state, api.LeaseStates())
	}
	return api.LeaseFilter{
		Tenant: api.TenantID(o.tenant), Provider: api.ProviderID(o.provider), Cell: api.CellID(o.cell),
		Run: api.RunID(o.run), State: state, All: o.all || state.Terminal(),
	}, nil
}

func unknownState[S ~string](state string, known []S) error {
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	problem := api.Refuse(api.InvalidArgument, "state %q is not one of %s", ui.Clean(state), strings.Join(words, ", "))
	if near := ui.Closest(state, words); near != "" {
		return problem.WithHint("--state %s", near)
	}
	return problem
}
