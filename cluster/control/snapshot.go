package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"sync"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// SaveSnapshot opens an archive of the state.
func (c *Control) SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error) {
	if c.cfg.Archives == nil {
		return nil, noArchives()
	}
	return c.cfg.Archives.SaveSnapshot(ctx, stale)
}

func noArchives() *api.Error {
	return api.Refuse(api.NotFound, "this scheduler keeps no snapshots")
}

// RestoreSnapshot replaces the state of the cluster by an archive's, and ends every lease in
// it: what became of them since is not known. Their resources are given again when their cells
// confirm, or when they must have stopped.
func (c *Control) RestoreSnapshot(ctx context.Context, _ int64, archive io.Reader, o api.WriteOptions) (*api.RestoreReport, error) {
	if c.cfg.Archives == nil {
		return nil, noArchives()
	}
	report, err := c.cfg.Archives.RestoreArchive(ctx, archive, RestoreOrder{
		ID: restoreID(o.IdempotencyKey), Actor: actor(ctx), Reason: o.Reason, DryRun: o.DryRun,
	})
	if err != nil || o.DryRun {
		return report, err
	}
	return report, c.endLeases(ctx)
}

// RestoreOrder is what a restore is asked with.
type RestoreOrder struct {
	ID, Actor, Reason string
	DryRun            bool
}

// restoreID names a restore by the key that it was asked under.
func restoreID(key string) string {
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256([]byte(key))
	return "rst-" + hex.EncodeToString(sum[:8])
}

// endAtOnce bounds the leases that are being ended at one moment.
const endAtOnce = 256

// endLeases revokes every lease of a restored state.
func (c *Control) endLeases(ctx context.Context) error {
	v, err := c.cfg.Cluster.Read(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, endAtOnce)
	for _, cell := range v.Cells("") {
		for _, l := range v.LeasesOn(cell.ID) {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				_, failed := c.cfg.Decider.Submit(ctx, fsm.RevokeLease{Actor: actor(ctx), Lease: l.ID, Reason: "the state was restored from a snapshot"})
				if failed != nil && api.KindOf(failed) != api.NotFound {
					mu.Lock()
					err = failed
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	return err
}
