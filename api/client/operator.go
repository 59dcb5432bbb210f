package client

import (
	"context"

	"github.com/grafos/grafos/api"
)

// NodeState asks the scheduler that answers what it says of itself. To ask a certain one,
// use At.
func (c *Client) NodeState(ctx context.Context) (*api.NodeState, error) {
	return fetch[api.NodeState](ctx, c, get("/operator/node", nil, api.ReadOptions{}))
}

// Schedulers lists the schedulers.
func (c *Client) Schedulers(ctx context.Context) (*api.SchedulerList, error) {
	return fetch[api.SchedulerList](ctx, c, get("/operator/schedulers", nil, api.ReadOptions{}))
}

// Debug asks the scheduler that answers for everything that it can say of itself.
func (c *Client) Debug(ctx context.Context) (*api.DebugReport, error) {
	return fetch[api.DebugReport](ctx, c, get("/operator/debug", nil, api.ReadOptions{}))
}
