package client

import (
	"context"
	"net/http"

	"github.com/grafos/grafos/api"
)

// tenantName is the body that creates a tenant.
type tenantName struct {
	Tenant api.TenantID `json:"tenant"`
}

// CreateTenant creates a tenant without a quota.
func (c *Client) CreateTenant(ctx context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	return fetch[api.TenantAnswer](ctx, c, write(http.MethodPost, "/tenants", tenantName{t}, o))
}

// ListTenants lists the tenants with what they hold.
func (c *Client) ListTenants(ctx context.Context, o api.ReadOptions) (*api.TenantList, error) {
	return fetch[api.TenantList](ctx, c, get("/tenants", nil, o))
}

// SetQuota replaces a tenant's quota.
func (c *Client) SetQuota(ctx context.Context, t api.TenantID, q api.Quota, o api.WriteOptions) (*api.TenantAnswer, error) {
	return fetch[api.TenantAnswer](ctx, c, write(http.MethodPost, "/tenants/"+seg(t)+":quota", q, o))
}

// DeleteTenant deletes a tenant that has no live leases.
func (c *Client) DeleteTenant(ctx context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	return fetch[api.TenantAnswer](ctx, c, write(http.MethodDelete, "/tenants/"+seg(t), nil, o))
}
