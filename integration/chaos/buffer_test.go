package chaos

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// bufferedAsks is how many leases are asked for while a cell stands still.
const bufferedAsks = 8

// grantInBuffer stops a cell and grants leases on it: the grants wait in its socket for longer than a
// grant may be on its way. When the cell goes on it reads them, and must not take one: their requests were
// undone long ago, and what they were to have may be somebody else's (L4).
func grantInBuffer(ctx context.Context, r *run, f fault) (heal, error) {
	cell := r.cell(f)
	if err := cell.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	asked, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range bufferedAsks {
		probe := &lessor{load: r.load, id: bufferID + n, client: r.admin}
		wg.Go(func() { probe.abandoned(asked) })
	}
	return func(ctx context.Context) error {
		end()
		wg.Wait()
		waited, err := r.undoneOn(ctx, cell)
		if err != nil {
			return err
		}
		if err := cell.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		return r.noneTaken(ctx, cell, waited)
	}, nil
}

// bufferID is the client number of the first of them in the history.
const bufferID = 200

// abandoned asks for a lease of a minute and gives it up at once where it was granted.
func (l *lessor) abandoned(ctx context.Context) {
	set, err := l.once(ctx, api.LeaseRequest{
		Provider: fleet.Provider, Tenant: tenantFree, TTLMs: 60_000, Resources: api.Resources{Mem: 64 << 10},
	})
	if err != nil {
		l.refused(ctx, "request leases", err, api.BindTimeout, api.NoEligibleProviderCells, api.RuntimeNotReady, api.PlacementFailed)
		return
	}
	for _, g := range set.Leases {
		call := l.record.Begin(l.id)
		o := api.WriteOptions{IdempotencyKey: crand.Text()}
		a, err := pursue(ctx, l.load, "end lease", func(ctx context.Context) (*api.LeaseAnswer, error) { return l.client.FreeLease(ctx, g.ID, o) })
		if err != nil {
			call.MaybeEnded(g.ID)
			l.refused(ctx, "end lease", err)
			continue
		}
		call.Ended(a.Lease.Lease)
	}
}

// undoneOn lists the leases on a cell whose grants it did not answer.
func (r *run) undoneOn(ctx context.Context, cell *fleet.Node) ([]api.LeaseID, error) {
	list, err := r.admin.ListLeases(ctx, api.LeaseFilter{Cell: api.CellID(cell.Name), All: true}, api.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("list leases on %s: %w", cell.Name, err)
	}
	var ids []api.LeaseID
	for _, l := range list.Leases {
		if l.BoundGeneration == 0 && l.Reason == string(api.BindTimeout) && !l.State.Terminal() {
			ids = append(ids, l.ID)
		}
	}
	return ids, nil
}

// noneTaken waits for the ends of leases and reads in the cell's ledger that it took none of them.
func (r *run) noneTaken(ctx context.Context, cell *fleet.Node, ids []api.LeaseID) error {
	if len(ids) == 0 {
		r.t.Logf("no grant waited for %s", cell.Name)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.atEase(wholeTime))
	defer cancel()
	for _, id := range ids {
		for {
			a, err := r.admin.ShowLease(ctx, id, api.ReadOptions{})
			if err == nil && a.Lease.State.Terminal() {
				break
			}
			if pause := harness.Pause(ctx, 50*time.Millisecond); pause != nil {
				return fmt.Errorf("lease %s on %s, which goes on, does not end: %w", id, cell.Name, pause)
			}
		}
	}
	taken, err := os.ReadFile(filepath.Join(fleet.DataDir(cell.Disk), "ledger", "ledger"))
	if err != nil {
		return fmt.Errorf("read the ledger of %s: %w", cell.Name, err)
	}
	for _, id := range ids {
		if bytes.Contains(taken, []byte(" b "+string(id)+" ")) {
			r.load.book.fault("L4: cell %s took the grant of lease %s, which had waited too long", cell.Name, id)
		}
	}
	r.t.Logf("%d grants waited for %s", len(ids), cell.Name)
	return nil
}
