package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/grafos/grafos/api"
)

// Bootstrap trades a bootstrap token and a CSR for a certificate. The same token with the
// same key gets the same answer, so it is repeated like a read.
func (c *Client) Bootstrap(ctx context.Context, r api.BootstrapRequest) (*api.BootstrapAnswer, error) {
	return fetch[api.BootstrapAnswer](ctx, c, call{
		method: http.MethodPost, path: userBase + "/cells/bootstrap", body: r, write: true,
	})
}

// Register registers an agent; the same agent registering twice gets the same epoch.
func (c *Client) Register(ctx context.Context, r api.RegisterRequest) (*api.RegisterAnswer, error) {
	return fetch[api.RegisterAnswer](ctx, c, call{
		method: http.MethodPost, path: userBase + "/cells/register", body: r, write: true,
	})
}

// RenewIdentity has a new key certified. Each repetition is a certificate of its own.
func (c *Client) RenewIdentity(ctx context.Context, _ api.ProviderID, cell api.CellID, r api.RenewalRequest) (*api.BootstrapAnswer, error) {
	return fetch[api.BootstrapAnswer](ctx, c, call{
		method: http.MethodPost, path: userBase + "/cells/" + seg(cell) + ":renew", body: r, write: true,
	})
}

// Watch opens a session at the scheduler that answered last, or at another one, and yields
// its messages until it ends. It never reconnects: a session that ended is another session.
// The scheduler knows the provider from the certificate.
func (c *Client) Watch(ctx context.Context, _ api.ProviderID, cell api.CellID, r api.WatchRequest) iter.Seq2[api.Desired, error] {
	return func(yield func(api.Desired, error) bool) {
		body, err := c.openStream(ctx, userBase+"/cells/"+seg(cell)+"/watch", watchQuery(r), nil)
		if err != nil {
			yield(api.Desired{}, err)
			return
		}
		defer func() { _ = body.Close() }()
		for in := newLines(body); ; {
			var d api.Desired
			if err := in.next(&d); err != nil {
				c.next(body.base)
				if err = ended(err); err != nil && ctx.Err() == nil {
					yield(api.Desired{}, err)
				}
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// ended returns why a session ended, nil where the scheduler just closed it.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if e, ok := errors.AsType[*brokenError](err); ok {
		return &endedError{problem: api.Refuse(api.NoLeader, "the session broke off: %v", e.cause), cause: e}
	}
	return err
}

func watchQuery(r api.WatchRequest) url.Values {
	q := url.Values{}
	putInt(q, "cell_epoch", r.Epoch)
	putInt(q, "after", r.After)
	if r.Standby {
		q.Set("standby", "true")
	}
	if r.NoEcho {
		q.Set("no_echo", "true")
	}
	return q
}

// Report sends a report and returns when all of it is committed. Reports are level-triggered,
// so it is repeated like a read.
func (c *Client) Report(ctx context.Context, _ api.ProviderID, cell api.CellID, r api.Report) (*api.ReportAnswer, error) {
	return fetch[api.ReportAnswer](ctx, c, call{
		method: http.MethodPost, path: userBase + "/cells/" + seg(cell) + "/reports", body: r, write: true,
	})
}
