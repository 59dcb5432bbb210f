package integration

import (
	"context"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
	"github.com/grafos/grafos/integration/internal/promises"
)

// settle waits until nothing is left of the workload: every lease ended, every run final.
func settle(ctx context.Context, t *testing.T, w *workload) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := promises.Settle(ctx, w.client); err != nil {
		t.Fatal(err)
	}
}

// checkPromises holds what the clients were told against the state and the audit chain of
// every scheduler.
func checkPromises(ctx context.Context, t *testing.T, c *harness.Cluster, w *workload) {
	t.Helper()
	for _, f := range w.history.faults {
		t.Error(f)
	}
	status, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []promises.Node
	for _, s := range status.Schedulers {
		one, err := c.Client(ctx, 30*time.Second, s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := one.Close(); err != nil {
				t.Error(err)
			}
		}()
		nodes = append(nodes, promises.Node{Name: s.Name, Client: one})
	}
	report, err := promises.Check(ctx, w.client, nodes, promises.Told{
		Grants: w.history.grants, Runs: w.history.runs, Quotas: map[api.TenantID]int64{tenantTight: quotaTight},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range report.Breaches {
		t.Error(b)
	}
	for _, n := range report.Notes {
		t.Log(n)
	}
	t.Logf("refusals: %v", w.history.refusals)
}
