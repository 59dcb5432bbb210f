package client

import (
	"context"
	"net/http"

	"github.com/grafos/grafos/api"
)

// DrainCell has a cell take no new work.
func (c *Client) DrainCell(ctx context.Context, cell api.CellID, r api.DrainRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	return fetch[api.CellAnswer](ctx, c, write(http.MethodPost, "/cells/"+seg(cell)+":drain", r, o))
}

// UndrainCell has a cell take work again.
func (c *Client) UndrainCell(ctx context.Context, cell api.CellID, o api.WriteOptions) (*api.CellAnswer, error) {
	return fetch[api.CellAnswer](ctx, c, write(http.MethodPost, "/cells/"+seg(cell)+":undrain", nil, o))
}

// CellDrain tells how far a cell is that is drained, or revoked.
func (c *Client) CellDrain(ctx context.Context, cell api.CellID, o api.ReadOptions) (*api.CellDrain, error) {
	return fetch[api.CellDrain](ctx, c, get("/cells/"+seg(cell)+"/drain", nil, o))
}
