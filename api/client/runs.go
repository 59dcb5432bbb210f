package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/grafos/grafos/api"
)

// Plan asks what would be decided; it changes nothing.
func (c *Client) Plan(ctx context.Context, r api.PlanRequest, o api.ReadOptions) (*api.Plan, error) {
	k := get("/plans", nil, o)
	k.method, k.body = http.MethodPost, r
	return fetch[api.Plan](ctx, c, k)
}

// StartRun admits and places a run.
func (c *Client) StartRun(ctx context.Context, r api.RunRequest, o api.WriteOptions) (*api.RunAnswer, error) {
	return fetch[api.RunAnswer](ctx, c, patient(write(http.MethodPost, "/runs", r, o)))
}

// ListRuns lists runs: all that f describes, page by page, or f.Limit of them with NextPage
// to continue.
func (c *Client) ListRuns(ctx context.Context, f api.RunFilter, o api.ReadOptions) (*api.RunList, error) {
	list := &api.RunList{Runs: []api.Run{}}
	err := pages(f.Page, f.Limit, func(page string, limit int) (int, string, error) {
		q := url.Values{}
		put(q, "tenant", string(f.Tenant))
		put(q, "provider", string(f.Provider))
		put(q, "cell_id", string(f.Cell))
		put(q, "state", string(f.State))
		put(q, "page_token", page)
		putInt(q, "limit", uint64(max(limit, 0)))
		got, err := fetch[api.RunList](ctx, c, get("/runs", q, o))
		if err != nil {
			return 0, "", err
		}
		if list.Index == 0 {
			list.Index, list.Freshness = got.Index, got.Freshness
			o.AfterIndex, o.Wait = 0, 0
		}
		list.Runs = append(list.Runs, got.Runs...)
		list.NextPage = got.NextPage
		return len(got.Runs), got.NextPage, nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// ShowRun shows one run with its leases and, where it is small text, its output.
func (c *Client) ShowRun(ctx context.Context, id api.RunID, o api.ReadOptions) (*api.RunAnswer, error) {
	return fetch[api.RunAnswer](ctx, c, get("/runs/"+seg(id), nil, o))
}

// RunArtifact opens one artifact of a run. Reading it to the end checks its digest.
func (c *Client) RunArtifact(ctx context.Context, id api.RunID, name string) (io.ReadCloser, api.Artifact, error) {
	body, head, err := c.download(ctx, userBase+"/runs/"+seg(id)+"/artifacts/"+seg(name), "")
	if err != nil {
		return nil, api.Artifact{}, err
	}
	return body, api.Artifact{Name: name, Digest: head.digest, Size: head.size}, nil
}
