package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/grafos/grafos/api"
)

// SaveSnapshot opens an archive of the state: the leader's, from the leader itself, since it is large
// and older schedulers do not hand it on, or, stale, that of the scheduler that answers. Reading it
// may break off: whoever reads it verifies it.
func (c *Client) SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error) {
	var body io.ReadCloser
	ask := func(at *Client) error {
		k := call{
			method: http.MethodGet, path: userBase + "/operator/snapshot", query: url.Values{}, accept: "application/octet-stream", stream: true,
		}
		if stale {
			k.query.Set("stale", "true")
		}
		return at.each(ctx, k, func(resp *http.Response) error {
			body = resp.Body
			return nil
		})
	}
	if stale {
		return body, ask(c)
	}
	err := c.atLeader(ctx, ask)
	return body, err
}

// RestoreSnapshot sends an archive to the leader. It is repeated as other writes are when the
// archive is an io.Seeker.
func (c *Client) RestoreSnapshot(ctx context.Context, size int64, archive io.Reader, o api.WriteOptions) (*api.RestoreReport, error) {
	w := write(http.MethodPost, "/operator/snapshot:restore", nil, o)
	if err := w.check(); err != nil { // before the leader is looked for
		return nil, err
	}
	src := &source{r: archive}
	defer src.end()
	w.open, w.size, w.extra = src.open, size, blobExtra(size)+restoreExtra
	var report api.RestoreReport
	err := c.atLeader(ctx, func(at *Client) error { return at.do(ctx, w, &report) })
	return &report, err
}

// restoreExtra is what the cluster may take to agree on a state, beside sending it.
const restoreExtra = 2 * time.Minute

// atLeader calls do with a client of the leader alone, again when leadership moved meanwhile.
func (c *Client) atLeader(ctx context.Context, do func(*Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	for round, removed := 0, 0; ; round++ {
		err := c.tryLeader(ctx, do)
		switch api.KindOf(err) { //nolint:exhaustive // every other kind is an answer
		case api.NoLeader:
			removed = 0
		case api.SchedulerRemoved: // the same as everybody in a row says is an answer
			if removed++; removed >= len(c.urls) {
				return err
			}
		default:
			return err
		}
		if !pause(ctx, backoff(round)) {
			return err
		}
	}
}

func (c *Client) tryLeader(ctx context.Context, do func(*Client) error) error {
	st, err := c.NodeState(ctx)
	if err != nil {
		return err
	}
	if st.Removed != nil {
		c.next(c.URL())
		return st.Removed
	}
	if st.LeaderURL == "" {
		c.next(c.URL())
		return api.Refuse(api.NoLeader, "scheduler %s knows no leader", st.Node)
	}
	leader, err := c.At(st.LeaderURL)
	if err != nil {
		return err
	}
	return do(leader)
}
