package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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
	if err == nil && report.Repeated {
		if report, err = c.firstAnswer(ctx, report); err == nil {
			report.DryRun = o.DryRun
		}
	}
	if err != nil || o.DryRun {
		return report, err
	}
	return report, c.endLeases(ctx, report.Newest)
}

// firstAnswer is what a restore answered when it was done: its record in the audit chain says
// it, which came with the restored state. Where an older release did it, or nobody knows any
// more, it is as the answer now is, and ends no lease.
func (c *Control) firstAnswer(ctx context.Context, now *api.RestoreReport) (*api.RestoreReport, error) {
	for to := c.cfg.Machine.View().AuditHead().Sequence; to > 0 && ctx.Err() == nil; to -= min(to, restoreScan) {
		fact, found, err := c.recovery(now.Recovery, to-min(to, restoreScan)+1, to)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the record of restore %s: %w", now.Recovery, err)
		case !found:
			continue
		case fact.Report == nil:
			now.Newest = fact.Before
			return now, nil
		}
		fact.Report.Repeated = true
		return fact.Report, nil
	}
	return now, ctx.Err()
}

// recovery finds the record of a recovery among those of the audit chain from from to to. Of
// the records that this scheduler has not fetched yet it is none: it came with the state itself.
func (c *Control) recovery(id string, from, to uint64) (fact fsm.RecoveryFact, found bool, err error) {
	f := api.AuditFilter{From: from, To: to, Kind: fsm.AuditClusterRecovered}
	recs, _, err := c.cfg.Audit.Read(f)
	if lack, missing := errors.AsType[recordsMissing](err); missing {
		_, f.From = lack.Missing()
		if f.From++; f.From > to {
			return fact, false, nil
		}
		recs, _, err = c.cfg.Audit.Read(f)
	}
	for _, rec := range recs {
		fact = fsm.RecoveryFact{}
		if json.Unmarshal(rec.Data, &fact) == nil && fact.ID == id {
			return fact, true, nil
		}
	}
	return fact, false, err
}

// restoreScan is how many records of the audit chain are looked through at once.
const restoreScan = 1000

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

// endLeases revokes every lease of a restored state. What was given since has a higher fencing
// number than newest, the newest of the state.
func (c *Control) endLeases(ctx context.Context, newest uint64) error {
	v, err := c.cfg.Cluster.Read(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, endAtOnce)
	for _, cell := range v.Cells("") {
		for _, l := range v.LeasesOn(cell.ID) {
			if l.Epoch > newest {
				continue
			}
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
