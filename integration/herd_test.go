package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
	"github.com/grafos/grafos/integration/internal/herd"
)

const (
	herdCells = 500
	herdDead  = 20
	// herdLimit is the heartbeat limit of a dev cluster.
	herdLimit = 3 * time.Second
	// herdSlack is for a machine that has other work: this test is about what happens, make bench-cells
	// about how fast.
	herdSlack = 30 * time.Second
)

// TestHerd has 500 simulated cells at three schedulers: no heartbeat comes into the log, the dead are
// marked, admissions are served, and everybody is back after the leader was killed.
func TestHerd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := harness.Up(ctx, binary(t), t.TempDir(), 3, 1) // one is the least
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Down(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	s, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Material()
	if err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, n := range s.Schedulers {
		urls = append(urls, n.URL)
	}
	h := herd.Start(ctx, herd.Config{Material: m, URLs: urls, Provider: "local", Cells: herdCells, Opening: 16})
	defer h.Close()
	f := &flock{t: t, ctx: ctx, c: c, h: h, cells: herdCells}
	f.settle("after they came")
	t.Run("heartbeats stay out of the log", f.heartbeats)
	t.Run("admissions", f.admissions)
	t.Run("the dead are marked", f.deaths)
	t.Run("kill -9 of the leader", f.kill)
	if n := h.Counts(); t.Failed() {
		t.Logf("%+v", n)
	}
}

// flock is a herd in a cluster.
type flock struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // that of the test
	c     *harness.Cluster
	h     *herd.Herd
	cells int
}

// ready is how many cells are ready, by the scheduler that leads.
func (f *flock) ready() (int, error) {
	var list api.ProviderList
	if err := f.c.JSON(f.ctx, &list, "provider", "list"); err != nil {
		return 0, err
	}
	for _, p := range list.Providers {
		if p.Provider == "local" {
			return p.CellsReady, nil
		}
	}
	return 0, nil
}

// settle waits until every cell has both of its sessions and is ready.
func (f *flock) settle(when string) {
	f.t.Helper()
	eventually(f.t, time.Minute, func() string {
		n, want := f.h.Counts(), int64(f.cells)
		if n.Active != want || n.Standby != want {
			return fmt.Sprintf("%s: %d sessions and %d standbys of %d cells; first trouble: %s", when, n.Active, n.Standby, want, n.First)
		}
		if ready, err := f.ready(); err != nil || ready != f.cells+1 {
			return fmt.Sprintf("%s: %d of %d are ready (%v)", when, ready, f.cells+1, err)
		}
		return ""
	})
}

// heartbeats: while nothing happens but those the log grows by the cluster's clock alone.
func (f *flock) heartbeats(t *testing.T) {
	index := func() (at time.Time, applied uint64) {
		states, err := f.c.States(f.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			applied = max(applied, s.AppliedIndex)
		}
		return time.Now(), applied
	}
	began, before := index()
	beats := f.h.Counts().Beats
	eventually(t, herdSlack, func() string {
		if n := f.h.Counts().Beats - beats; n < 5*herdCells {
			return fmt.Sprintf("%d heartbeats", n)
		}
		return ""
	})
	ended, after := index()
	if ticks := uint64(ended.Sub(began)/time.Second) + 2; after-before > ticks {
		t.Errorf("the log grew by %d entries in %s of heartbeats, want the %d of the clock at most", after-before, ended.Sub(began), ticks)
	}
}

func (f *flock) admissions(t *testing.T) {
	for range 10 {
		var set api.GrantSet
		if err := f.c.JSON(f.ctx, &set, "lease", "request", "--provider", "local", "--tenant", "dev", "--mem", "1M", "--ttl", "2s"); err != nil {
			t.Fatal(err)
		}
	}
}

// deaths: those that die are marked, within two limits and what a busy machine takes, and no others.
func (f *flock) deaths(t *testing.T) {
	f.h.Kill(herdDead)
	f.cells -= herdDead
	eventually(t, 2*herdLimit+herdSlack, func() string {
		if ready, err := f.ready(); err != nil || ready != f.cells+1 {
			return fmt.Sprintf("%d are ready, want %d (%v)", ready, f.cells+1, err)
		}
		return ""
	})
}

func (f *flock) kill(t *testing.T) {
	lead, err := f.c.Leader(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	lost := f.h.Counts().Lost
	if err := f.c.Kill(f.ctx, lead.Name); err != nil {
		t.Fatal(err)
	}
	f.settle("after the kill")
	if n := f.h.Counts().Lost - lost; n == 0 {
		t.Error("nobody lost a session: the killed scheduler had none")
	}
}
