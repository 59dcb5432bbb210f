package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/grafos/grafos/api"
)

// bindExtra is added to the time of a call that waits for a cell.
const bindExtra = 2 * api.BindBound

// RequestLeases asks for leases, all or none.
func (c *Client) RequestLeases(ctx context.Context, r api.LeaseRequest, o api.WriteOptions) (*api.GrantSet, error) {
	return fetch[api.GrantSet](ctx, c, patient(write(http.MethodPost, "/leases", r, o)))
}

// RequestBatch asks for up to api.MaxBatch sets of leases. Repeating it is safe for the
// items that have an idempotency key; the batch's own key makes one for each of the others.
func (c *Client) RequestBatch(ctx context.Context, r api.BatchRequest, o api.WriteOptions) (*api.BatchAnswer, error) {
	return fetch[api.BatchAnswer](ctx, c, patient(write(http.MethodPost, "/leases:batch", r, o)))
}

// patient gives a call the time that a cell may take to bind.
func patient(k call) call {
	k.extra += bindExtra
	return k
}

// ofCell marks a call that a cell answers.
func ofCell(k call) call {
	k.cell = true
	return k
}

// ListLeases lists leases: all that f describes, page by page, or f.Limit of them with
// NextPage to continue.
func (c *Client) ListLeases(ctx context.Context, f api.LeaseFilter, o api.ReadOptions) (*api.LeaseList, error) {
	list := &api.LeaseList{Leases: []api.Lease{}}
	err := pages(f.Page, f.Limit, func(page string, limit int) (int, string, error) {
		q := leaseQuery(f)
		put(q, "page_token", page)
		putInt(q, "limit", uint64(max(limit, 0)))
		got, err := fetch[api.LeaseList](ctx, c, get("/leases", q, o))
		if err != nil {
			return 0, "", err
		}
		if list.Index == 0 {
			list.Index, list.Freshness = got.Index, got.Freshness
			o.AfterIndex, o.Wait = 0, 0 // only the first page waits
		}
		list.Leases = append(list.Leases, got.Leases...)
		list.NextPage = got.NextPage
		return len(got.Leases), got.NextPage, nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func leaseQuery(f api.LeaseFilter) url.Values {
	q := url.Values{}
	put(q, "tenant", string(f.Tenant))
	put(q, "provider", string(f.Provider))
	put(q, "cell_id", string(f.Cell))
	put(q, "run_id", string(f.Run))
	put(q, "state", string(f.State))
	if f.All {
		q.Set("all", "true")
	}
	return q
}

// ShowLease shows one lease.
func (c *Client) ShowLease(ctx context.Context, id api.LeaseID, o api.ReadOptions) (*api.LeaseAnswer, error) {
	return fetch[api.LeaseAnswer](ctx, c, get("/leases/"+seg(id), nil, o))
}

// RenewLease extends a lease's deadline from now.
func (c *Client) RenewLease(ctx context.Context, id api.LeaseID, r api.RenewRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return fetch[api.LeaseAnswer](ctx, c, patient(write(http.MethodPost, "/leases/"+seg(id)+":renew", r, o)))
}

// LeaseToken asks the lease's cell for a fresh capability token.
func (c *Client) LeaseToken(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return fetch[api.LeaseAnswer](ctx, c, ofCell(patient(write(http.MethodPost, "/leases/"+seg(id)+":token", nil, o))))
}

// FreeLease gives a lease back.
func (c *Client) FreeLease(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return fetch[api.LeaseAnswer](ctx, c, write(http.MethodPost, "/leases/"+seg(id)+":free", nil, o))
}

// RevokeLease ends a lease against its holder's will.
func (c *Client) RevokeLease(ctx context.Context, id api.LeaseID, r api.RevokeRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return fetch[api.LeaseAnswer](ctx, c, write(http.MethodPost, "/leases/"+seg(id)+":revoke", r, o))
}

// UnfenceLease clears the fence of a lease whose teardown failed.
func (c *Client) UnfenceLease(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return fetch[api.LeaseAnswer](ctx, c, write(http.MethodPost, "/leases/"+seg(id)+":unfence", nil, o))
}

// maxListed bounds what a list without a limit gathers, in records.
const maxListed = 1_000_000

// pages calls one for page after page, beginning with page, until there is none left or
// limit records came; a limit of 0 is none. one returns how many came and the next page.
func pages(page string, limit int, one func(page string, limit int) (int, string, error)) error {
	for left := limit; ; {
		n, next, err := one(page, left)
		if err != nil {
			return err
		}
		switch {
		case next == "" || next == page:
			return nil
		case limit > 0:
			if left -= n; left <= 0 || n == 0 {
				return nil
			}
		default:
			if left -= n; -left >= maxListed {
				return nil
			}
		}
		page = next
	}
}

// blobExtra is the time that size bytes add to a call: a second for every MiB.
func blobExtra(size int64) time.Duration {
	return time.Duration(size>>20+1) * time.Second
}
