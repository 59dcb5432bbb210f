package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

// peerTimeout bounds a call to a peer where the config says nothing.
const peerTimeout = 5 * time.Second

// Peer is what one scheduler asks another. It makes one try a call: what to do about a peer
// that does not answer is its caller's business.
type Peer struct {
	client *Client
}

// NewPeer returns a client of the one scheduler in c.URLs.
func NewPeer(c Config) (*Peer, error) {
	if len(c.URLs) > 1 {
		return nil, api.Refuse(api.InvalidArgument, "a peer has one address, not %d", len(c.URLs))
	}
	if c.Timeout == 0 {
		c.Timeout = peerTimeout
	}
	client, err := New(c)
	if err != nil {
		return nil, err
	}
	client.attempts = 1
	return &Peer{client: client}, nil
}

// Close closes the idle connections.
func (p *Peer) Close() error { return p.client.Close() }

// URL returns the peer's address.
func (p *Peer) URL() string { return p.client.URL() }

// ReadIndex asks the leader for an index at which a verified read may be served.
func (p *Peer) ReadIndex(ctx context.Context) (*api.ReadIndex, error) {
	return fetch[api.ReadIndex](ctx, p.client, call{method: http.MethodGet, path: peerBase + "/read-index"})
}

// Member asks what place the peer has in the Raft group.
func (p *Peer) Member(ctx context.Context) (*api.MemberState, error) {
	return fetch[api.MemberState](ctx, p.client, call{method: http.MethodGet, path: peerBase + "/member"})
}

// Dismiss tells the peer that an operator removes it.
func (p *Peer) Dismiss(ctx context.Context, d api.Dismissal) error {
	return p.client.do(ctx, call{method: http.MethodPost, path: peerBase + "/member:dismiss", body: d, write: true}, nil)
}

// Sightings asks what the peer has seen of every cell.
func (p *Peer) Sightings(ctx context.Context) (*api.SightingTable, error) {
	return fetch[api.SightingTable](ctx, p.client, call{method: http.MethodGet, path: peerBase + "/sightings"})
}

// TakeReport hands a cell's report to the leader.
func (p *Peer) TakeReport(ctx context.Context, provider api.ProviderID, cell api.CellID, r api.Report) (*api.ReportAnswer, error) {
	q := url.Values{"provider": {string(provider)}, "cell_id": {string(cell)}}
	return fetch[api.ReportAnswer](ctx, p.client, call{
		method: http.MethodPost, path: peerBase + "/reports", query: q, body: r, write: true,
	})
}

// AskCell hands an ask to the session of a cell on the peer.
func (p *Peer) AskCell(ctx context.Context, cell api.CellID, a api.Ask) error {
	return p.client.do(ctx, call{
		method: http.MethodPost, path: peerBase + "/asks", query: url.Values{"cell_id": {string(cell)}}, body: a, write: true,
	}, nil)
}

// PutReplica puts a blob on the peer's disk.
func (p *Peer) PutReplica(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	return p.client.upload(ctx, peerBase+"/replicas/"+seg(d), size, r)
}

// GetReplica opens a blob of the peer's own disk.
func (p *Peer) GetReplica(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	body, head, err := p.client.download(ctx, peerBase+"/replicas/"+seg(d), d)
	if err != nil {
		return nil, 0, err
	}
	return body, head.size, nil
}

// ReferBlob asks the leader to commit that a tenant put a blob.
func (p *Peer) ReferBlob(ctx context.Context, t api.TenantID, d api.Digest, size int64) error {
	q := url.Values{"tenant": {string(t)}, "size": {strconv.FormatInt(size, 10)}}
	return p.client.do(ctx, call{
		method: http.MethodPost, path: peerBase + "/blobs/" + seg(d) + "/refs", query: q, write: true,
	}, nil)
}

// AuditReplica reads one page of the peer's own copy of the audit chain.
func (p *Peer) AuditReplica(ctx context.Context, f api.AuditFilter) (*api.AuditPage, error) {
	return fetch[api.AuditPage](ctx, p.client, call{
		method: http.MethodGet, path: peerBase + "/audit", query: auditQuery(f, f.From, f.Limit),
	})
}
