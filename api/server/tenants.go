package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

// createTenantRequest names the tenant to create.
type createTenantRequest struct {
	Tenant api.TenantID `json:"tenant"`
}

type createTenantIn struct {
	WriteParams
	Body createTenantRequest
}

func (s *server) createTenant(ctx context.Context, in *createTenantIn) (*api.TenantAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	if err := api.CheckName("tenant", string(in.Body.Tenant)); err != nil {
		return nil, err
	}
	return s.config.Services.CreateTenant(ctx, in.Body.Tenant, o)
}

type listTenantsIn struct{ ReadParams }

func (s *server) listTenants(ctx context.Context, in *listTenantsIn) (*api.TenantList, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ListTenants(ctx, o)
}

type setQuotaIn struct {
	Tenant string `path:"t" maxLength:"63"`
	WriteParams
	Body api.Quota
}

func (s *server) setQuota(ctx context.Context, in *setQuotaIn) (*api.TenantAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	if err := in.Body.Check(); err != nil {
		return nil, err
	}
	return s.config.Services.SetQuota(ctx, api.TenantID(in.Tenant), in.Body, o)
}

type deleteTenantIn struct {
	Tenant string `path:"t" maxLength:"63"`
	WriteParams
}

func (s *server) deleteTenant(ctx context.Context, in *deleteTenantIn) (*api.TenantAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.DeleteTenant(ctx, api.TenantID(in.Tenant), o)
}
