package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// suggestWait bounds the look at the cluster that a press of the Tab key costs.
const suggestWait = 2 * time.Second

// lister lists the ids that may stand at the place of the argument after args.
type lister func(ctx context.Context, s *session, args []string) ([]string, error)

// suggest makes the completion of a command's arguments, one lister an argument. A cluster
// that does not answer suggests nothing.
func (a *app) suggest(cmd *cobra.Command, lists ...lister) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(lists) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ids, err := a.look(cmd.Context(), lists[len(args)], args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// look asks the cluster outside of a command: completion parses flags and runs nothing.
func (a *app) look(ctx context.Context, list lister, args []string) (ids []string, err error) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, suggestWait)
	defer cancel()
	u, err := a.globals.UI(ui.NewIO(a.o.Stdin, a.o.Stdout, a.o.Stderr, a.o.Getenv), a.o.Getenv, a.o.Dir)
	if err != nil {
		return nil, err
	}
	u.Consistency = api.Stale
	conn, err := u.Connect()
	if err != nil {
		return nil, err
	}
	services, err := a.o.Connect(conn)
	if err != nil {
		return nil, err
	}
	ids, err = list(ctx, &session{UI: u, Services: services, conn: conn}, args)
	if closeErr := services.Close(); err == nil {
		err = closeErr
	}
	return ids, err
}

func listProviders(ctx context.Context, s *session, _ []string) ([]string, error) {
	list, err := s.ListProviders(ctx, s.Read())
	if err != nil {
		return nil, err
	}
	return words(list.Providers, func(p api.ProviderSummary) string { return string(p.Provider) }), nil
}

// listCellsOf lists the cells of the provider that is the first argument.
func listCellsOf(ctx context.Context, s *session, args []string) ([]string, error) {
	list, err := s.ListCells(ctx, api.ProviderID(args[0]), s.Read())
	if err != nil {
		return nil, err
	}
	return words(list.Cells, func(c api.Cell) string { return string(c.CellID) }), nil
}

func listLeases(ctx context.Context, s *session, _ []string) ([]string, error) {
	list, err := s.ListLeases(ctx, api.LeaseFilter{}, s.Read())
	if err != nil {
		return nil, err
	}
	return words(list.Leases, func(l api.Lease) string { return string(l.ID) + "\t" + string(l.Kind) + " on " + string(l.CellID) }), nil
}

func listRuns(ctx context.Context, s *session, _ []string) ([]string, error) {
	list, err := s.ListRuns(ctx, api.RunFilter{}, s.Read())
	if err != nil {
		return nil, err
	}
	return words(list.Runs, func(r api.Run) string { return string(r.ID) + "\t" + r.Tasklet + ", " + string(r.State) }), nil
}

func listTenants(ctx context.Context, s *session, _ []string) ([]string, error) {
	list, err := s.ListTenants(ctx, s.Read())
	if err != nil {
		return nil, err
	}
	return words(list.Tenants, func(t api.TenantUsage) string { return string(t.ID) }), nil
}

func words[T any](items []T, word func(T) string) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = word(item)
	}
	return out
}
