package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseRequestOptions struct {
	write     writeFlags
	resources resourceFlags
	provider  string
	tenant    string
	priority  string
	holder    fileName
}

func (a *app) leaseRequest() *cobra.Command {
	var o leaseRequestOptions
	cmd := &cobra.Command{
		Use:   "request --provider P",
		Short: "Ask for resources: one lease each, all on one cell, all or none",
		Long: `Ask for resources. There is one lease for each, all on one cell, and all are granted or
none. The answer comes when the cell has bound them; its tokens are in the JSON answer, and
grafos lease token LEASE gets a fresh one.`,
		Example: "  grafos lease request --provider local --mem 64M --ttl 5m",
		Args:    exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return o.run(ctx, s)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&o.provider, "provider", "", "the `provider` to ask (required)")
	fs.StringVar(&o.tenant, "tenant", "", "act for this `tenant`")
	fs.StringVar(&o.priority, "priority", string(api.PriorityStandard), "guaranteed, standard or scavenger")
	fs.Var(&o.holder, "holder-key", "`file` with the key of the only one who may use the tokens, self: that of the caller's certificate")
	o.resources.add(cmd)
	o.write.add(cmd)
	return cmd
}

func (o *leaseRequestOptions) run(ctx context.Context, s *session) error {
	if o.provider == "" {
		return missingProvider()
	}
	request := api.LeaseRequest{
		Provider: api.ProviderID(o.provider), Resources: o.resources.resources(),
		TTLMs: o.resources.ttlMs(api.DefaultRunTTL), Tenant: s.tenant(o.tenant), Priority: api.Priority(o.priority),
	}
	var err error
	if request.Holder, err = s.holderName(string(o.holder)); err != nil {
		return err
	}
	if request.Terms, err = o.resources.terms(nil); err != nil {
		return err
	}
	if err := request.Check(); err != nil {
		return err
	}
	set, err := s.RequestLeases(ctx, request, o.write.options())
	if err != nil {
		return o.write.repeatable(err)
	}
	o.write.dry(s.UI)
	return s.Print(set, func(p *ui.Page) { grantsView(p, *set, s.Now()) })
}

func missingProvider() error {
	return api.Refuse(api.InvalidArgument, "--provider is missing: it says where").WithHint("grafos provider list")
}
