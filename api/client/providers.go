package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/grafos/grafos/api"
)

// ListProviders lists every provider.
func (c *Client) ListProviders(ctx context.Context, o api.ReadOptions) (*api.ProviderList, error) {
	return fetch[api.ProviderList](ctx, c, get("/providers", nil, o))
}

// ProviderStatus shows a provider with its cells.
func (c *Client) ProviderStatus(ctx context.Context, p api.ProviderID, o api.ReadOptions) (*api.ProviderStatus, error) {
	return fetch[api.ProviderStatus](ctx, c, get("/providers/"+seg(p), nil, o))
}

// EnableProvider switches new admissions on or off.
func (c *Client) EnableProvider(ctx context.Context, p api.ProviderID, on bool, o api.WriteOptions) (*api.ProviderStatus, error) {
	verb := ":disable"
	if on {
		verb = ":enable"
	}
	return fetch[api.ProviderStatus](ctx, c, write(http.MethodPost, "/providers/"+seg(p)+verb, nil, o))
}

// RevokeCell begins to take a cell out for good.
func (c *Client) RevokeCell(ctx context.Context, p api.ProviderID, cell api.CellID, r api.RevokeCellRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	path := "/providers/" + seg(p) + "/cells/" + seg(cell) + ":revoke"
	return fetch[api.ProviderStatus](ctx, c, write(http.MethodPost, path, r, o))
}

// ListCells lists the cells of p, or, where p is empty, the whole fleet.
func (c *Client) ListCells(ctx context.Context, p api.ProviderID, o api.ReadOptions) (*api.CellList, error) {
	q := url.Values{}
	put(q, "provider", string(p))
	return fetch[api.CellList](ctx, c, get("/cells", q, o))
}

// fetch makes a call whose answer is a T.
func fetch[T any](ctx context.Context, c *Client, k call) (*T, error) {
	out := new(T)
	err := c.do(ctx, k, out)
	if err != nil {
		return nil, err
	}
	return out, nil
}
