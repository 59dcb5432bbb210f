package chaos

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// held is a lease on a cell that was chosen.
type held struct {
	api.Grant
	granted time.Time // when its grant was answered
	slack   time.Duration
}

// leaseOn is granted a lease of so long on one cell; nil when every one went to another.
func (r *run) leaseOn(ctx context.Context, cell *fleet.Node, ttl time.Duration) (*held, error) {
	const tries = 8
	probe := &lessor{load: r.load, id: hammerID - 2, client: r.admin}
	for range tries {
		set, err := r.granted(ctx, probe, r.atEase(admitTime), api.LeaseRequest{
			Provider: fleet.Provider, Tenant: tenantFree, TTLMs: ttl.Milliseconds(), Resources: api.Resources{Mem: 64 << 10},
		})
		if err != nil {
			return nil, err
		}
		if string(set.CellID) == cell.Name {
			// What the cell counts from is older than the answer: it never ends late by this clock.
			return &held{Grant: set.Leases[0], granted: time.Now(), slack: r.atEase(100 * ms)}, nil
		}
	}
	r.t.Logf("no lease on %s in %d tries", cell.Name, tries)
	return nil, nil //nolint:nilnil // there is none, and nothing went wrong
}

// stopCell stops a cell for longer than its heartbeat limit. A request for a lease that ends
// meanwhile waits in its socket: it is refused when the cell goes on (L6).
func stopCell(ctx context.Context, r *run, f fault) (heal, error) {
	cell := r.cell(f)
	user := r.fleet.DataPlane(0)
	h, err := r.leaseOn(ctx, cell, time.Second)
	if err != nil {
		return nil, err
	}
	if h != nil { // for a connection that is there when the cell stops
		if err := harness.Write(ctx, user, h.Grant, []byte("early")); err != nil {
			if time.Since(h.granted) < time.Second/2 {
				return nil, fmt.Errorf("write into a lease that has just been granted: %w", err)
			}
			r.t.Logf("lease %s ended before its cell was stopped: %v", h.ID, err)
			h = nil
		}
	}
	if err := cell.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	late := make(chan string, 1)
	go func() {
		defer user.CloseIdleConnections()
		late <- h.late(context.WithoutCancel(ctx), user)
	}()
	return func(ctx context.Context) error {
		if err := cell.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		select {
		case fault := <-late:
			if fault != "" {
				r.load.book.fault("L6: cell %s, which stood still: %s", cell.Name, fault)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("a request to cell %s is never answered: %w", cell.Name, ctx.Err())
		}
	}, nil
}

// late writes into a lease whose cell stands still, and says what is wrong with the answer.
func (h *held) late(ctx context.Context, user *http.Client) string {
	if h == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := harness.Write(ctx, user, h.Grant, []byte("late"))
	if took := time.Since(h.granted); err == nil && took > time.Second+api.TeardownBound+h.slack {
		return fmt.Sprintf("lease %s of 1 s was served %s after its grant", h.ID, took)
	}
	return ""
}
