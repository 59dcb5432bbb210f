package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type setQuotaOptions struct {
	write  writeFlags
	cpu    ui.Limit
	mem    ui.Limit
	block  ui.Limit
	net    ui.Limit
	gpu    ui.Limit
	leases ui.Limit
}

func (a *app) setQuota() *cobra.Command {
	o := setQuotaOptions{cpu: ui.Limit{Plain: true}, gpu: ui.Limit{Plain: true}, leases: ui.Limit{Plain: true}}
	cmd := &cobra.Command{
		Use:     "set-quota TENANT",
		Short:   "Limit a tenant; what is not given stays as it is",
		Example: "  grafos admin set-quota acme --cpu 20000 --mem 64G --gpu 0 --leases unlimited",
		Args:    exactly("TENANT"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return o.run(ctx, s, api.TenantID(args[0]))
		}),
	}
	fs := cmd.Flags()
	fs.Var(&o.cpu, "cpu", "cpu in `millicores`, or unlimited")
	fs.Var(&o.mem, "mem", "memory: bytes, or with K, M, G, T, or unlimited")
	fs.Var(&o.block, "block", "block storage: bytes, or with K, M, G, T, or unlimited")
	fs.Var(&o.net, "net", "network in `bits` per second, or with K, M, G, T, or unlimited")
	fs.Var(&o.gpu, "gpu", "gpu `devices`, or unlimited")
	fs.Var(&o.leases, "leases", "how `many` leases at once, or unlimited")
	o.write.add(cmd)
	return cmd
}

func (o *setQuotaOptions) run(ctx context.Context, s *session, tenant api.TenantID) error {
	quota, err := s.quotaOf(ctx, tenant)
	if err != nil {
		return err
	}
	given := false
	set := func(limit ui.Limit, to *int64) {
		if limit.Given {
			*to, given = limit.N, true
		}
	}
	set(o.cpu, &quota.CPU)
	set(o.mem, &quota.Mem)
	set(o.block, &quota.Block)
	set(o.net, &quota.Net)
	set(o.gpu, &quota.GPU)
	set(o.leases, &quota.Leases)
	if !given {
		return api.Refuse(api.InvalidArgument, "no limit is given: give at least one of --cpu, --mem, --block, --net, --gpu, --leases")
	}
	answer, err := s.SetQuota(ctx, tenant, quota, o.write.options())
	return s.showTenant(answer, err, &o.write)
}

// quotaOf returns the quota that a tenant has, so that a limit can be changed alone. An
// unknown tenant has none; setting it is refused by the cluster.
func (s *session) quotaOf(ctx context.Context, tenant api.TenantID) (api.Quota, error) {
	list, err := s.ListTenants(ctx, s.Read())
	if err != nil {
		return api.Quota{}, err
	}
	for _, t := range list.Tenants {
		if t.ID == tenant {
			return t.Quota, nil
		}
	}
	return api.NoQuota(), nil
}
