package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type eventsOptions struct {
	from     string
	follow   bool
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
after it, on any scheduler. Where events are no longer held, a gap says so.

When the scheduler that sends them dies, the stream goes on at another one by itself, and
says so: nothing is missing and nothing comes twice. Where no scheduler leads, it says that
and waits.`,
		Example: "  grafos fabric events --from now --type lease_,run_\n  grafos fabric events --follow=false --json --jq .type",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return o.run(ctx, s)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&o.from, "from", "", "now, oldest, or the `cursor` to go on after (default: oldest, all that is held)")
	fs.BoolVarP(&o.follow, "follow", "f", true, "go on with each event as it happens; =false ends when all that is held was told")
	fs.StringSliceVar(&o.types, "type", nil, "only types that begin with one of these `prefixes`")
	fs.StringVar(&o.provider, "provider", "", "only those of this `provider`")
	fs.StringVar(&o.tenant, "tenant", "", "only those of this `tenant`")
	return cmd
}

func (o *eventsOptions) run(ctx context.Context, s *session) error {
	if err := api.CheckFrom(o.from); err != nil {
		return err
	}
	filter := api.EventFilter{
		From: o.from, Types: o.types, Provider: api.ProviderID(o.provider), Tenant: api.TenantID(o.tenant), Bookmarks: true,
	}
	at := o.from // where to go on after an end
	for event, err := range s.Events(ctx, filter) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return goOn(err, at)
		}
		at = place(event.Cursor)
		switch event.Type {
		case api.EventBookmark:
			if !o.follow {
				return nil
			}
			continue
		case api.EventResumed:
			s.Note("%s", resumed(event))
			continue
		case api.EventGap:
			s.Note("%s", gap(event))
		}
		if err := s.Emit(event, func(p *ui.Page) { eventView(p, event) }); err != nil {
			return err
		}
	}
	return nil
}

// goOn adds to an error that ends a stream where to go on after it.
func goOn(err error, at string) error {
	problem := *api.Problem(err)
	if problem.Retryable && at != "" && at != api.FromNow && at != api.FromOldest {
		problem.Hint = "go on after the last event: --from " + at
	}
	return &problem
}

// place is a cursor as a person reads it: the index alone is the end of its entry.
func place(c api.Cursor) string {
	if c == api.EndOf(c.Index) {
		return strconv.FormatUint(c.Index, 10)
	}
	return c.String()
}

// resumed says that the stream broke and goes on.
func resumed(e api.Event) string {
	var r api.Resumed
	if json.Unmarshal(e.Data, &r) != nil || r.Scheduler == "" {
		return fmt.Sprintf("the stream broke and goes on after %s", place(e.Cursor))
	}
	return fmt.Sprintf("the stream broke (%s) and goes on at %s after %s: nothing is missing", r.Because, r.Scheduler, place(e.Cursor))
}

// gap says what is missing.
func gap(e api.Event) string {
	var g api.Gap
	switch {
	case json.Unmarshal(e.Data, &g) != nil || g.Reason == "":
		return fmt.Sprintf("some events before %s are no longer held", place(e.Cursor))
	case g.Reason == api.GapAhead:
		return fmt.Sprintf("the cluster has not come to %s: it was restored to an older state, or the cursor is another cluster's; what follows is after %s", place(g.After), place(e.Cursor))
	}
	return fmt.Sprintf("some events after %s, up to %s, are no longer held", place(g.After), place(e.Cursor))
}
