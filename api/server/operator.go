package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

// AuditParams say which part of the chain is asked for. It is exported for huma's reflection.
type AuditParams struct {
	From     uint64 `query:"from" doc:"The first sequence."`
	To       uint64 `query:"to" doc:"The last sequence; the head when left out."`
	Kind     string `query:"kind" maxLength:"64"`
	Identity string `query:"identity" maxLength:"256"`
	Limit    int    `query:"limit" minimum:"0" maximum:"10000"`
}

func (p AuditParams) filter() api.AuditFilter {
	return api.AuditFilter{From: p.From, To: p.To, Kind: p.Kind, Identity: p.Identity, Limit: p.Limit}
}

type auditIn struct {
	AuditParams
	ReadParams
}

func (s *server) auditRecords(ctx context.Context, in *auditIn) (*api.AuditPage, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.AuditRecords(ctx, in.filter(), o)
}

func (s *server) nodeState(ctx context.Context, _ *struct{}) (*api.NodeState, error) {
	return s.config.Services.NodeState(ctx)
}

func (s *server) schedulers(ctx context.Context, _ *struct{}) (*api.SchedulerList, error) {
	return s.config.Services.Schedulers(ctx)
}

func (s *server) debug(ctx context.Context, _ *struct{}) (*api.DebugReport, error) {
	return s.config.Services.Debug(ctx)
}
