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
	report, err := promises.Check(ctx, w.client, eachNode(ctx, t, c), promises.Told{
		Grants: w.history.grants, Runs: w.history.runs, Quotas: map[api.TenantID]int64{tenantTight: quotaTight},
	})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, report)
	t.Logf("refusals: %v", w.history.refusals)
}

func tell(t *testing.T, report *promises.Report) {
	t.Helper()
	for _, b := range report.Breaches {
		t.Error(b)
	}
	for _, n := range report.Notes {
		t.Log(n)
	}
}

// eachNode is every scheduler, with a client of it alone until the test ends.
func eachNode(ctx context.Context, t *testing.T, c *harness.Cluster) []promises.Node {
	t.Helper()
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
		t.Cleanup(func() {
			if err := one.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, promises.Node{Name: s.Name, Client: one})
	}
	return nodes
}

// checkAgreement: every scheduler has one state at every index, and the same audit chain, once
// it has fetched what a snapshot skipped. It returns the chain.
func checkAgreement(t *testing.T, c *harness.Cluster) []api.AuditRecord {
	t.Helper()
	nodes := eachNode(t.Context(), t, c)
	eventually(t, 20*time.Second, func() string {
		for _, n := range nodes {
			if _, err := n.Client.AuditRecords(t.Context(), api.AuditFilter{}, api.ReadOptions{}); err != nil {
				return n.Name + ": " + err.Error()
			}
		}
		return ""
	})
	report, err := promises.Agree(t.Context(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	tell(t, report)
	return report.Chain
}

// countKind counts the records of a kind.
func countKind(chain []api.AuditRecord, kind string) int {
	n := 0
	for _, r := range chain {
		if r.Kind == kind {
			n++
		}
	}
	return n
}
