package control

import (
	"context"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// CreateTenant makes a tenant without limits.
func (c *Control) CreateTenant(ctx context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	if err := api.CheckName("tenant", string(t)); err != nil {
		return nil, err
	}
	id, err := idem(actor(ctx), o, "create_tenant", t)
	if err != nil {
		return nil, err
	}
	return c.changeTenant(ctx, t, o, fsm.CreateTenant{Actor: actor(ctx), Idem: id, Tenant: t, Quota: api.NoQuota()})
}

// SetQuota replaces a tenant's limits.
func (c *Control) SetQuota(ctx context.Context, t api.TenantID, q api.Quota, o api.WriteOptions) (*api.TenantAnswer, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	id, err := idem(actor(ctx), o, "set_quota", map[string]any{"tenant": t, "quota": q})
	if err != nil {
		return nil, err
	}
	return c.changeTenant(ctx, t, o, fsm.SetQuota{Actor: actor(ctx), Idem: id, Tenant: t, Quota: q})
}

// DeleteTenant removes a tenant that holds nothing.
func (c *Control) DeleteTenant(ctx context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	id, err := idem(actor(ctx), o, "delete_tenant", t)
	if err != nil {
		return nil, err
	}
	before := c.cfg.Machine.View().TenantUsage(t)
	if before.ID == "" {
		before.ID = t
	}
	if o.DryRun {
		return c.dryTenant(ctx, t)
	}
	res, err := c.cfg.Decider.Submit(ctx, fsm.DeleteTenant{Actor: actor(ctx), Idem: id, Tenant: t})
	if err != nil {
		return nil, err
	}
	return &api.TenantAnswer{Index: res.Index, Tenant: before}, nil
}

func (c *Control) changeTenant(ctx context.Context, t api.TenantID, o api.WriteOptions, cmd fsm.Command) (*api.TenantAnswer, error) {
	if o.DryRun {
		return c.dryTenant(ctx, t)
	}
	res, err := c.cfg.Decider.Submit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return &api.TenantAnswer{Index: res.Index, Tenant: c.cfg.Machine.View().TenantUsage(t)}, nil
}

func (c *Control) dryTenant(ctx context.Context, t api.TenantID) (*api.TenantAnswer, error) {
	v, err := c.cfg.Cluster.Read(ctx)
	if err != nil {
		return nil, err
	}
	usage := v.TenantUsage(t)
	usage.ID = t
	return &api.TenantAnswer{Index: v.Index(), Tenant: usage}, nil
}

// ListTenants lists every tenant with what it holds; a tenant sees itself.
func (c *Control) ListTenants(ctx context.Context, o api.ReadOptions) (*api.TenantList, error) {
	v, err := c.view(ctx, o, c.tenantsOf(api.CallerFrom(ctx).Tenant()))
	if err != nil {
		return nil, err
	}
	list := &api.TenantList{Index: v.Index(), Tenants: []api.TenantUsage{}, Freshness: v.fresh}
	for _, t := range v.Tenants() {
		if sees(ctx, t.ID) {
			list.Tenants = append(list.Tenants, v.TenantUsage(t.ID))
		}
	}
	return list, nil
}
