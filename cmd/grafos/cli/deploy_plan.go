package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) deployPlan() *cobra.Command {
	var f deployFlags
	cmd := &cobra.Command{
		Use:   "plan [DIR] --provider P [--module FILE.wasm]",
		Short: "Which cell would run it, and why not the others; changes nothing",
		Long: `Show which cell would be chosen and why, with every veto and score. Nothing is changed,
and nothing is uploaded. Without a program and a module it plans for the resources alone.
Exit 0: it would be admitted; 4: it would be refused.`,
		Example: "  grafos deploy plan --provider local --cpu 2000 --mem 4G\n  grafos deploy plan ./etl --provider aws",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, rest, err := split(cmd, args)
		if err != nil {
			return err
		}
		return a.online(func(ctx context.Context, s *session, _ []string) error {
			return f.plan(ctx, s, a.o.Dir, dir, rest)
		})(cmd, args)
	}
	f.add(cmd)
	return cmd
}

func (f *deployFlags) plan(ctx context.Context, s *session, cwd, dir string, args []string) error {
	if f.provider == "" {
		return missingProvider()
	}
	t, err := f.planned(cwd, dir, args)
	if err != nil {
		return err
	}
	request := api.PlanRequest{
		Provider: api.ProviderID(f.provider), Tenant: s.tenant(f.tenant), Resources: t.resources,
		TTLMs: t.ttl.Milliseconds(), Priority: api.Priority(f.priority),
	}
	if request.Terms, err = f.resources.terms(t.terms()); err != nil {
		return err
	}
	check := api.LeaseRequest{
		Provider: request.Provider, Resources: request.Resources, TTLMs: request.TTLMs, Priority: request.Priority, Terms: request.Terms,
	}
	if err := check.Check(); err != nil {
		return err
	}
	if t.module != "" {
		module, err := readBlob(t.module, api.MaxModuleBytes)
		if err != nil {
			return err
		}
		request.Module = module.digest
	}
	plan, err := s.Plan(ctx, request, s.Read())
	if err != nil {
		return err
	}
	if err := s.Print(plan, func(p *ui.Page) { planView(p, *plan, t) }); err != nil {
		return err
	}
	if plan.Decision == api.DecisionAdmit {
		return nil
	}
	if plan.Refusal == nil {
		return ui.Silent(ui.ExitRefused)
	}
	if s.Output.Machine() || s.OutTerminal {
		return ui.Silent(ui.KindExit(plan.Refusal.Kind)) // it was told why
	}
	why := *plan.Refusal
	why.Candidates = nil // the rows are about them
	return &why
}

// planned is findTasklet, for which no program and no module are needed.
func (f *deployFlags) planned(cwd, dir string, args []string) (tasklet, error) {
	_, err := os.Stat(filepath.Join(cwd, programFile))
	if dir == "" && f.module == "" && f.tasklet == "" && err != nil {
		t := defaultTasklet()
		return t, f.apply(&t, args)
	}
	return f.findTasklet(cwd, dir, args)
}
