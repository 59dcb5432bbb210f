package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

func (s *server) raftMembers(ctx context.Context, _ *struct{}) (*api.RaftMembers, error) {
	return s.config.Services.RaftMembers(ctx)
}

type raftTransferIn struct {
	WriteParams
	Body api.RaftTransferRequest
}

func (s *server) raftTransfer(ctx context.Context, in *raftTransferIn) (*api.RaftTransfer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.RaftTransfer(ctx, in.Body.To, o)
}

type raftRemoveIn struct {
	Node  string `path:"n" maxLength:"63"`
	Force bool   `query:"force" doc:"Remove it even if the others then have no quorum that answers."`
	WriteParams
}

func (s *server) raftRemove(ctx context.Context, in *raftRemoveIn) (*api.RaftMembers, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.RaftRemove(ctx, api.NodeID(in.Node), in.Force, o)
}
