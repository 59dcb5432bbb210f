package node

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/control"
)

// place tells the API where decisions are made.
type place struct {
	*cluster.Node
	transport http.RoundTripper
}

// Transport reaches the other schedulers as this one.
func (p place) Transport() http.RoundTripper { return p.transport }

// auth proves console sessions and bars revoked cells.
type auth struct {
	material *pki.Material
	control  *control.Control
}

// sessionTime is how long a console login lasts.
const sessionTime = 12 * time.Hour

// Session returns who a console cookie belongs to.
func (a auth) Session(cookie string) (api.Caller, error) {
	c, err := a.material.VerifySession(cookie, time.Now())
	if err != nil {
		return api.Caller{}, err
	}
	return api.Caller{Role: c.Role, Name: c.Name, NotAfter: c.ExpiresAt}, nil
}

// Login trades a one-time login token for a session. That it is used once is decided in
// the replicated state.
func (a auth) Login(ctx context.Context, token string) (string, int, error) {
	c, err := a.material.VerifyLogin(token, time.Now())
	if err != nil {
		return "", 0, err
	}
	if err := a.control.UseLogin(ctx, c); err != nil {
		return "", 0, err
	}
	cookie, err := a.material.MintSession(c, sessionTime)
	if err != nil {
		return "", 0, err
	}
	return cookie, int(sessionTime / time.Second), nil
}

// Admit refuses a cell that is revoked.
func (a auth) Admit(c api.Caller) error { return a.control.Admit(c) }

// Bound refuses a cell under another key than its own.
func (a auth) Bound(ctx context.Context, c api.Caller) error { return a.control.Bound(ctx, c) }

// blobPeers reaches the other schedulers' blobs.
type blobPeers struct{ node *cluster.Node }

// Others lists the live schedulers with a vote, without this one: only their copies count.
func (b blobPeers) Others() []api.NodeID {
	var others []api.NodeID
	for _, p := range b.node.Peers() {
		if p.Voter && p.Alive && p.Node != b.node.ID() {
			others = append(others, p.Node)
		}
	}
	return others
}

// Quorum is how many schedulers must have a blob, this one included. Where this one has no
// vote its copy does not count, and is one more.
func (b blobPeers) Quorum() int {
	voters, mine := 0, 1
	for _, p := range b.node.Peers() {
		if !p.Voter {
			continue
		}
		voters++
		if p.Node == b.node.ID() {
			mine = 0
		}
	}
	return voters/2 + 1 + mine
}

// PutReplica puts one copy on another scheduler.
func (b blobPeers) PutReplica(ctx context.Context, n api.NodeID, d api.Digest, size int64, r io.Reader) error {
	peer, err := b.node.Peer(n)
	if err != nil {
		return err
	}
	return peer.PutReplica(ctx, d, size, r)
}

// GetReplica opens another scheduler's copy.
func (b blobPeers) GetReplica(ctx context.Context, n api.NodeID, d api.Digest) (io.ReadCloser, int64, error) {
	peer, err := b.node.Peer(n)
	if err != nil {
		return nil, 0, err
	}
	return peer.GetReplica(ctx, d)
}

const (
	sweepEvery = 10 * time.Minute
	// sweepAge keeps what was put and not referenced yet: a run's artifacts before its report.
	sweepAge = time.Hour
)

// sweep removes the blobs that nothing refers to any more.
func (n *scheduler) sweep(ctx context.Context) {
	every(ctx, sweepEvery, func() {
		gone, err := n.blobs.Sweep(n.machine.View().Referenced, sweepAge)
		if err != nil {
			n.log.Warn("sweep blobs", "error", err)
		}
		if gone > 0 {
			n.log.Info("blobs swept", "blobs", gone)
		}
	})
}

func every(ctx context.Context, d time.Duration, do func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}
