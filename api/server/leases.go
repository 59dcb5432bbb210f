package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

type requestLeasesIn struct {
	WriteParams
	Body api.LeaseRequest
}

func (s *server) requestLeases(ctx context.Context, in *requestLeasesIn) (*api.GrantSet, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	if err := in.Body.Check(); err != nil {
		return nil, err
	}
	return s.config.Services.RequestLeases(ctx, in.Body, o)
}

type requestBatchIn struct {
	WriteParams
	Body api.BatchRequest
}

func (s *server) requestBatch(ctx context.Context, in *requestBatchIn) (*api.BatchAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	if n := len(in.Body.Requests); n == 0 || n > api.MaxBatch {
		return nil, api.Refuse(api.InvalidArgument, "the batch has %d requests: it must have from 1 to %d", n, api.MaxBatch)
	}
	return s.config.Services.RequestBatch(ctx, in.Body, o)
}

type listLeasesIn struct {
	Tenant   string `query:"tenant" maxLength:"63"`
	Provider string `query:"provider" maxLength:"63"`
	Cell     string `query:"cell_id" maxLength:"63"`
	Run      string `query:"run_id" maxLength:"128"`
	State    string `query:"state" enum:"active,revoke_warning,grace_running,checkpoint_reported,forced_teardown,expired,torndown,fenced,failed_closed"`
	All      bool   `query:"all" doc:"Ended leases too."`
	PageParams
	ReadParams
}

func (s *server) listLeases(ctx context.Context, in *listLeasesIn) (*api.LeaseList, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ListLeases(ctx, api.LeaseFilter{
		Tenant: api.TenantID(in.Tenant), Provider: api.ProviderID(in.Provider), Cell: api.CellID(in.Cell),
		Run: api.RunID(in.Run), State: api.LeaseState(in.State), All: in.All, Limit: in.Limit, Page: in.Page,
	}, o)
}

type leaseIn struct {
	ID string `path:"id" maxLength:"128"`
	ReadParams
}

func (s *server) showLease(ctx context.Context, in *leaseIn) (*api.LeaseAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ShowLease(ctx, api.LeaseID(in.ID), o)
}

type renewLeaseIn struct {
	ID string `path:"id" maxLength:"128"`
	WriteParams
	Body api.RenewRequest
}

func (s *server) renewLease(ctx context.Context, in *renewLeaseIn) (*api.LeaseAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	if err := api.CheckTTL(in.Body.TTLMs); err != nil {
		return nil, err
	}
	return s.config.Services.RenewLease(ctx, api.LeaseID(in.ID), in.Body, o)
}

type touchLeaseIn struct {
	ID string `path:"id" maxLength:"128"`
	WriteParams
}

func (s *server) leaseToken(ctx context.Context, in *touchLeaseIn) (*api.LeaseAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.LeaseToken(ctx, api.LeaseID(in.ID), o)
}

func (s *server) freeLease(ctx context.Context, in *touchLeaseIn) (*api.LeaseAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.FreeLease(ctx, api.LeaseID(in.ID), o)
}

func (s *server) unfenceLease(ctx context.Context, in *touchLeaseIn) (*api.LeaseAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.UnfenceLease(ctx, api.LeaseID(in.ID), o)
}

type revokeLeaseIn struct {
	ID string `path:"id" maxLength:"128"`
	WriteParams
	Body *api.RevokeRequest
}

func (s *server) revokeLease(ctx context.Context, in *revokeLeaseIn) (*api.LeaseAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	r := orZero(in.Body)
	if r.GraceMs < 0 || r.GraceMs > api.MaxTTL.Milliseconds() {
		return nil, api.Refuse(api.InvalidArgument, "grace is %s: it must be from 0 to 24 h", api.FormatMs(r.GraceMs))
	}
	return s.config.Services.RevokeLease(ctx, api.LeaseID(in.ID), r, o)
}
