package client

import (
	"context"
	"net/url"

	"github.com/grafos/grafos/api"
)

// AuditRecords reads the chain: all that f describes, page by page, or f.Limit of it with
// Next to continue. A very long chain ends early, with Next.
func (c *Client) AuditRecords(ctx context.Context, f api.AuditFilter, o api.ReadOptions) (*api.AuditPage, error) {
	all := &api.AuditPage{Records: []api.AuditRecord{}}
	for from := f.From; ; {
		left := 0
		if f.Limit > 0 {
			left = f.Limit - len(all.Records)
		}
		page, err := c.auditPage(ctx, f, from, left, o)
		if err != nil {
			return nil, err
		}
		if all.Index == 0 {
			all.Index, all.Head, all.Freshness = page.Index, page.Head, page.Freshness
			o.AfterIndex, o.Wait = 0, 0
		}
		all.Records = append(all.Records, page.Records...)
		all.Next = page.Next
		if page.Next <= from || f.Limit > 0 && len(all.Records) >= f.Limit || len(all.Records) >= maxListed {
			return all, nil
		}
		from = page.Next
	}
}

func (c *Client) auditPage(ctx context.Context, f api.AuditFilter, from uint64, limit int, o api.ReadOptions) (*api.AuditPage, error) {
	return fetch[api.AuditPage](ctx, c, get("/audit", auditQuery(f, from, limit), o))
}

func auditQuery(f api.AuditFilter, from uint64, limit int) url.Values {
	q := url.Values{}
	putInt(q, "from", from)
	putInt(q, "to", f.To)
	put(q, "kind", f.Kind)
	put(q, "identity", f.Identity)
	putInt(q, "limit", uint64(max(limit, 0)))
	return q
}
