package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type eventsOptions struct {
	from     string
	types    []string
	provider string
	tenant   string
}

func (a *app) fabricEvents() *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Everything that happens, as it happens, until Ctrl-C or --timeout",
		Long: `Stream the changes of the cluster: first those that are still held, then each as it
happens. A cursor is the first column in a pipe and .cursor in JSON; --from CURSOR goes on
after it, on any scheduler. Where events are no longer held, a gap says so.`,
		Example: "  grafos fabric events --from now --type lease_,run_\n  grafos fabric events --json --jq .type",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return o.run(ctx, s)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&o.from, "from", "", "now, or the `cursor` to go on after (default: all that is held)")
	fs.StringSliceVar(&o.types, "type", nil, "only types that begin with one of these `prefixes`")
	fs.StringVar(&o.provider, "provider", "", "only those of this `provider`")
	fs.StringVar(&o.tenant, "tenant", "", "only those of this `tenant`")
	return cmd
}

func (o *eventsOptions) run(ctx context.Context, s *session) error {
	if o.from != "" && o.from != "now" {
		if _, err := api.ParseCursor(o.from); err != nil {
			return err
		}
	}
	filter := api.EventFilter{
		From: o.from, Types: o.types, Provider: api.ProviderID(o.provider), Tenant: api.TenantID(o.tenant),
	}
	for event, err := range s.Events(ctx, filter) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if event.Type == api.EventGap {
			s.Note("some events before %s are no longer held", event.Cursor)
		}
		if err := s.Emit(event, func(p *ui.Page) { eventView(p, event) }); err != nil {
			return err
		}
	}
	return nil
}
