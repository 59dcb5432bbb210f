package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// auditPage is how many records one request brings.
const auditPage = 1000

type auditQueryOptions struct {
	from     uint64
	to       uint64
	kind     string
	identity string
	limit    int
}

func (a *app) auditQuery() *cobra.Command {
	var o auditQueryOptions
	cmd := &cobra.Command{
		Use:     "audit-query",
		Short:   "The audit chain, oldest first; with --json one record a line",
		Example: "  grafos admin audit-query --kind lease_granted --identity tenant/acme\n  grafos admin audit-query --json > chain.jsonl",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return o.run(ctx, s)
		}),
	}
	fs := cmd.Flags()
	fs.Uint64Var(&o.from, "from", 0, "first `sequence` number (default: the first there is)")
	fs.Uint64Var(&o.to, "to", 0, "last `sequence` number (default: the newest)")
	fs.StringVar(&o.kind, "kind", "", "only records of this `kind`")
	fs.StringVar(&o.identity, "identity", "", "only what this `identity` did, as tenant/acme")
	fs.IntVar(&o.limit, "limit", 0, "at most so many (default: all)")
	return cmd
}

func (o *auditQueryOptions) run(ctx context.Context, s *session) error {
	if o.limit < 0 {
		return api.Refuse(api.InvalidArgument, "--limit %d is negative", o.limit)
	}
	filter := api.AuditFilter{From: o.from, To: o.to, Kind: o.kind, Identity: o.identity}
	left, shown := o.limit, false
	for {
		filter.Limit = auditPage
		if o.limit > 0 {
			filter.Limit = min(left, auditPage)
		}
		page, err := s.AuditRecords(ctx, filter, s.Read())
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := s.Emit(r, func(p *ui.Page) { auditView(p, r) }); err != nil {
				return err
			}
		}
		left -= len(page.Records)
		shown = shown || len(page.Records) > 0
		if page.Next <= filter.From || o.limit > 0 && left <= 0 {
			if !shown {
				s.Progress(ui.Span{Text: "no records", Style: ui.Dim})
			}
			return nil
		}
		filter.From = page.Next
	}
}
