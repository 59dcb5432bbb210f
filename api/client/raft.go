package client

import (
	"context"
	"net/http"

	"github.com/grafos/grafos/api"
)

// RaftMembers lists the members of the Raft group as their leader sees them.
func (c *Client) RaftMembers(ctx context.Context) (*api.RaftMembers, error) {
	return fetch[api.RaftMembers](ctx, c, get("/operator/raft", nil, api.ReadOptions{}))
}

// RaftTransfer hands leadership to a voter, or to the one that is furthest.
func (c *Client) RaftTransfer(ctx context.Context, to api.NodeID, o api.WriteOptions) (*api.RaftTransfer, error) {
	return fetch[api.RaftTransfer](ctx, c, write(http.MethodPost, "/operator/raft:transfer", api.RaftTransferRequest{To: to}, o))
}

// RaftRemove takes a member out of the Raft group.
func (c *Client) RaftRemove(ctx context.Context, id api.NodeID, force bool, o api.WriteOptions) (*api.RaftMembers, error) {
	w := write(http.MethodPost, "/operator/raft/"+seg(id)+":remove", nil, o)
	if force {
		w.query.Set("force", "true")
	}
	return fetch[api.RaftMembers](ctx, c, w)
}
