package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

type auditIn struct {
	From     uint64 `query:"from" doc:"The first sequence."`
	To       uint64 `query:"to" doc:"The last sequence; the head when left out."`
	Kind     string `query:"kind" maxLength:"64"`
	Identity string `query:"identity" maxLength:"256"`
	Limit    int    `query:"limit" minimum:"0" maximum:"10000"`
	ReadParams
}

func (s *server) auditRecords(ctx context.Context, in *auditIn) (*api.AuditPage, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.AuditRecords(ctx, api.AuditFilter{
		From: in.From, To: in.To, Kind: in.Kind, Identity: in.Identity, Limit: in.Limit,
	}, o)
}

func (s *server) nodeState(ctx context.Context, _ *struct{}) (*api.NodeState, error) {
	return s.config.Services.NodeState(ctx)
}

func (s *server) schedulers(ctx context.Context, _ *struct{}) (*api.SchedulerList, error) {
	return s.config.Services.Schedulers(ctx)
}
