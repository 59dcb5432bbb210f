package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type deployRunOptions struct {
	deployFlags
	write writeFlags
}

func (a *app) deployRun() *cobra.Command {
	var o deployRunOptions
	cmd := &cobra.Command{
		Use:   "run [DIR] --provider P [--module FILE.wasm] [-- ARGS...]",
		Short: "Run a tasklet and print what it wrote",
		Long: `Run a tasklet: admit, lease, run, tear down. Standard output is exactly what the tasklet
wrote to its own, and so is standard error; with --json the run's record is printed instead.
Exit 0: it succeeded; 1: it did not; 4: it was refused. Ctrl-C stops waiting, not the run.`,
		Example: "  grafos deploy run --provider local --module jq.wasm --input data.json -- .name\n" +
			"  echo hello | grafos deploy run ./upper --provider local --input -",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, rest, err := split(cmd, args)
		if err != nil {
			return err
		}
		return a.online(func(ctx context.Context, s *session, _ []string) error {
			return o.run(ctx, s, a.o.Dir, dir, rest)
		})(cmd, args)
	}
	o.add(cmd)
	o.write.add(cmd)
	return cmd
}

func (o *deployRunOptions) run(ctx context.Context, s *session, cwd, dir string, args []string) error {
	if o.provider == "" {
		return missingProvider()
	}
	t, err := o.findTasklet(cwd, dir, args)
	if err != nil {
		return err
	}
	request, blobs, err := o.request(s, t)
	if err != nil {
		return err
	}
	if !o.write.dryRun {
		if err := s.upload(ctx, blobs...); err != nil {
			return fmt.Errorf("upload: %w", err)
		}
	}
	answer, err := s.StartRun(ctx, request, o.write.options())
	if err != nil {
		return o.write.repeatable(err)
	}
	if o.write.dryRun || o.detach {
		o.write.dry(s.UI)
		return s.Print(answer, func(p *ui.Page) { detachedView(p, answer.Run, o.write.dryRun) })
	}
	return s.finish(ctx, answer)
}

// request makes the request of a run and the blobs that it names.
func (o *deployRunOptions) request(s *session, t tasklet) (api.RunRequest, []blob, error) {
	if t.module == "" {
		return api.RunRequest{}, nil, api.Refuse(api.InvalidArgument, "tasklet %q has no module", t.name)
	}
	module, err := readBlob(t.module, api.MaxModuleBytes)
	if err != nil {
		return api.RunRequest{}, nil, err
	}
	call, err := invocation(t.args, t.env)
	if err != nil {
		return api.RunRequest{}, nil, err
	}
	request := api.RunRequest{
		Provider: api.ProviderID(o.provider), Tenant: s.tenant(o.tenant), Tasklet: t.name, Profile: t.profile,
		Module: module.digest, Resources: t.resources, TTLMs: t.ttl.Milliseconds(), Priority: api.Priority(o.priority),
		Retries: o.retries, Invocation: call.digest, Fuel: o.fuel.N,
	}
	if request.Terms, err = o.resources.terms(t.terms()); err != nil {
		return api.RunRequest{}, nil, err
	}
	// Before standard input, which may be slow to end, is read.
	if err := request.CheckNew(); err != nil {
		return api.RunRequest{}, nil, err
	}
	input, err := readInput(o.input, s.In)
	request.Input = input.digest
	return request, []blob{module, input, call}, err
}
