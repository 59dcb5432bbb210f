package sim

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// peer is one scheduler's API as another one sees it.
type peer struct {
	w    *World
	from *proc
	to   string
}

// peerTime bounds a call between schedulers, as the real client does.
const peerTime = 10 * time.Second

func overPeer[T any](ctx context.Context, p *peer, do func(context.Context, *scheduler) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTime)
	defer cancel()
	v, err := onScheduler(api.WithCaller(ctx, api.Caller{Role: api.RoleScheduler, Name: p.from.name}), p.w, p.from, p.to, do)
	return v, lost(err)
}

// Close ends nothing: connections are not kept.
func (p *peer) Close() error { return nil }

// ReadIndex asks for an index that a verified read may be served at.
func (p *peer) ReadIndex(ctx context.Context) (*api.ReadIndex, error) {
	return overPeer(ctx, p, func(ctx context.Context, s *scheduler) (*api.ReadIndex, error) { return s.control.ReadIndex(ctx) })
}

// Member asks what place the scheduler has in the group.
func (p *peer) Member(ctx context.Context) (*api.MemberState, error) {
	return overPeer(ctx, p, func(ctx context.Context, s *scheduler) (*api.MemberState, error) { return s.control.Member(ctx) })
}

// Dismiss tells the scheduler that it was removed.
func (p *peer) Dismiss(ctx context.Context, d api.Dismissal) error {
	_, err := overPeer(ctx, p, func(ctx context.Context, s *scheduler) (nothing, error) { return nothing{}, s.control.Dismiss(ctx, d) })
	return err
}

// Sightings asks what the scheduler saw of the cells.
func (p *peer) Sightings(ctx context.Context) (*api.SightingTable, error) {
	return overPeer(ctx, p, func(ctx context.Context, s *scheduler) (*api.SightingTable, error) { return s.control.Sightings(ctx) })
}

// TakeReport hands a cell's report to the leader.
func (p *peer) TakeReport(ctx context.Context, prov api.ProviderID, c api.CellID, r api.Report) (*api.ReportAnswer, error) {
	return overPeer(ctx, p, func(ctx context.Context, s *scheduler) (*api.ReportAnswer, error) {
		return s.control.TakeReport(ctx, prov, c, r)
	})
}

type nothing struct{}

// AskCell hands a question to a cell's session.
func (p *peer) AskCell(ctx context.Context, c api.CellID, a api.Ask) error {
	_, err := overPeer(ctx, p, func(ctx context.Context, s *scheduler) (nothing, error) {
		return nothing{}, s.control.AskCell(ctx, c, a)
	})
	return err
}

// ReferBlob commits that a tenant put a blob.
func (p *peer) ReferBlob(ctx context.Context, t api.TenantID, d api.Digest, size int64) error {
	_, err := overPeer(ctx, p, func(ctx context.Context, s *scheduler) (nothing, error) {
		return nothing{}, s.control.ReferBlob(ctx, t, d, size)
	})
	return err
}

// PutReplica and GetReplica have nothing to carry: the simulated blobs are everywhere.
func (p *peer) PutReplica(context.Context, api.Digest, int64, io.Reader) error { return nil }

// GetReplica opens a blob.
func (p *peer) GetReplica(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	return p.w.blobs.Get(ctx, d)
}

// AuditReplica reads nothing: a simulated disk needs no backfill.
func (p *peer) AuditReplica(context.Context, api.AuditFilter) (*api.AuditPage, error) {
	return &api.AuditPage{}, nil
}

// blobs are the content-addressed bytes, on every scheduler at once: their own store is tested
// on real disks.
type blobs struct {
	mu   sync.Mutex
	held map[api.Digest][]byte
}

func newBlobs() *blobs { return &blobs{held: map[api.Digest][]byte{}} }

// Put takes a blob.
func (b *blobs) Put(_ context.Context, d api.Digest, _ int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[d] = data
	return nil
}

// PutLocal is Put.
func (b *blobs) PutLocal(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	return b.Put(ctx, d, size, r)
}

// Get opens a blob.
func (b *blobs) Get(_ context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	return b.GetLocal(d)
}

// GetLocal is Get.
func (b *blobs) GetLocal(d api.Digest) (io.ReadCloser, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.held[d]
	if !ok {
		return nil, 0, api.Refuse(api.NotFound, "blob %s is not there", d)
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

// Has reports whether a blob is there.
func (b *blobs) Has(_ context.Context, d api.Digest) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.held[d]
	return ok, nil
}
