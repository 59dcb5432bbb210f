package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// settle waits until nothing is left of the workload: every lease ended, every run final.
func settle(ctx context.Context, t *testing.T, w *workload) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := w.client.ListLeases(ctx, api.LeaseFilter{}, api.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		live := 0
		for _, l := range list.Leases {
			if !l.State.Terminal() {
				live++
			}
		}
		runs, err := w.client.ListRuns(ctx, api.RunFilter{}, api.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs.Runs {
			if !r.Finalised {
				live++
			}
		}
		if live == 0 {
			return
		}
		if err := harness.Pause(ctx, 200*time.Millisecond); err != nil {
			t.Fatalf("%d leases and runs have not ended: %v", live, err)
		}
	}
}

// checkPromises holds what the clients were told against the state and the audit chain of
// every scheduler.
func checkPromises(ctx context.Context, t *testing.T, c *harness.Cluster, w *workload) {
	t.Helper()
	for _, f := range w.history.faults {
		t.Error(f)
	}
	checkLeases(ctx, t, w)
	checkRuns(ctx, t, w)
	checkAgreement(ctx, t, c)
	checkAudit(ctx, t, c, w)
}

// checkLeases: what was acknowledged is there (L3), once a key (L5), with epochs of its own (L4).
func checkLeases(ctx context.Context, t *testing.T, w *workload) {
	t.Helper()
	list, err := w.client.ListLeases(ctx, api.LeaseFilter{All: true}, api.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[api.LeaseID]api.Lease{}
	epochs := map[uint64]api.LeaseID{}
	for _, l := range list.Leases {
		there[l.ID] = l
		if other, twice := epochs[l.Epoch]; twice {
			t.Errorf("L4: epoch %d belongs to %s and %s", l.Epoch, other, l.ID)
		}
		epochs[l.Epoch] = l.ID
	}
	owner := map[api.LeaseID]string{}
	for key, ids := range w.history.grants {
		for _, id := range ids {
			if _, ok := there[id]; !ok {
				t.Errorf("L3: acknowledged lease %s is lost", id)
			}
			if other, twice := owner[id]; twice {
				t.Errorf("L5: lease %s was granted to keys %s and %s", id, other, key)
			}
			owner[id] = key
		}
	}
	undone := map[string]bool{} // requests of which a lease was not bound: all or none
	for _, l := range there {
		if l.BoundGeneration == 0 || l.Reason == "bind_timeout" {
			undone[request(l)] = true
		}
	}
	for id, l := range there {
		// What nobody was told of can only be a grant whose cell did not bind it.
		if _, told := owner[id]; !told && l.RunID == "" && !undone[request(l)] {
			t.Errorf("L5: lease %s (%s, %s) was granted and bound, and no client knows it", id, l.State, l.Reason)
		}
	}
	t.Logf("%d requests acknowledged, %d leases in the state, refusals %v", len(w.history.grants), len(there), w.history.refusals)
}

// request names the request that a lease was granted to: its leases share the entry's time.
func request(l api.Lease) string { return fmt.Sprint(l.Tenant, l.CellID, l.Granted, l.TTLMs) }

// checkRuns: a result that was seen is the result for ever (L8).
func checkRuns(ctx context.Context, t *testing.T, w *workload) {
	t.Helper()
	states := map[api.RunState]int{}
	for id, seen := range w.history.runs {
		a, err := w.client.ShowRun(ctx, id, api.ReadOptions{})
		if err != nil {
			t.Errorf("L8: run %s: %v", id, err)
			continue
		}
		states[a.State]++
		type result struct {
			State     api.RunState
			Exit      int
			Attempt   int
			Failure   api.Failure
			Artifacts []api.Artifact
		}
		was := result{seen.State, seen.ExitCode, seen.Attempt, seen.Failure, seen.Artifacts}
		is := result{a.State, a.ExitCode, a.Attempt, a.Failure, a.Artifacts}
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("L8: the result of run %s changed (-was +is):\n%s", id, diff)
		}
	}
	t.Logf("runs: %v", states)
}

// checkAgreement: every scheduler that applied an index has the same state there (L10), and
// no invariant is broken in any of them (L1, L2, L8).
func checkAgreement(ctx context.Context, t *testing.T, c *harness.Cluster) {
	t.Helper()
	states, err := c.States(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at := map[uint64]api.Fingerprint{}
	said := map[uint64]api.NodeID{}
	common := 0
	for _, st := range states {
		for _, broken := range st.Broken {
			t.Errorf("%s: %s", st.Node, broken)
		}
		for _, f := range st.Fingerprints {
			other, seen := at[f.Index]
			if seen && other.Hash != f.Hash {
				t.Errorf("L10: at index %d %s has state %s and %s has %s", f.Index, said[f.Index], other.Hash, st.Node, f.Hash)
			}
			if seen {
				common++
			}
			at[f.Index], said[f.Index] = f, st.Node
		}
	}
	if common == 0 {
		t.Error("L10: no two schedulers told a fingerprint of the same index")
	}
	t.Logf("%d fingerprints compared between %d schedulers", common, len(states))
}

// leaseEvent is the part of an audit record's data that the checks read.
type leaseEvent struct {
	Lease  api.LeaseID   `json:"lease_id"`
	Run    api.RunID     `json:"run_id"`
	Tenant api.TenantID  `json:"tenant"`
	Cell   api.CellID    `json:"cell_id"`
	Kind   api.LeaseKind `json:"kind"`
	Amount int64         `json:"amount"`
}

// checkAudit verifies every scheduler's copy of the chain (L9), and replays it: capacity
// (L1) and quota (L2) held at every record, every acknowledged grant is in it once.
func checkAudit(ctx context.Context, t *testing.T, c *harness.Cluster, w *workload) {
	t.Helper()
	status, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var chains [][]api.AuditRecord
	for _, s := range status.Schedulers {
		chains = append(chains, chain(ctx, t, c, s))
	}
	shortest := len(chains[0])
	for _, records := range chains {
		shortest = min(shortest, len(records))
	}
	for i, records := range chains[1:] {
		if shortest > 0 && records[shortest-1].Hash != chains[0][shortest-1].Hash {
			t.Errorf("L9: the chains of %s and %s differ", status.Schedulers[0].Name, status.Schedulers[i+1].Name)
		}
	}
	replay(ctx, t, w, chains[0])
}

// chain reads one scheduler's copy, whole, and verifies it.
func chain(ctx context.Context, t *testing.T, c *harness.Cluster, s harness.Scheduler) []api.AuditRecord {
	t.Helper()
	one, err := c.Client(ctx, 30*time.Second, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := one.Close(); err != nil {
			t.Error(err)
		}
	}()
	page, err := one.AuditRecords(ctx, api.AuditFilter{}, api.ReadOptions{})
	if err != nil {
		t.Fatalf("read the chain of %s: %v", s.Name, err)
	}
	v := api.NewAuditVerifier(api.AuditHead{})
	for _, r := range page.Records {
		if err := v.Next(r); err != nil {
			t.Fatalf("L9: the chain of %s: %v", s.Name, err)
		}
	}
	if v.Head().Sequence < page.Head.Sequence {
		t.Errorf("L9: %s shows %d records, its head is %d", s.Name, v.Head().Sequence, page.Head.Sequence)
	}
	return page.Records
}

func replay(ctx context.Context, t *testing.T, w *workload, records []api.AuditRecord) {
	t.Helper()
	cells, err := w.client.ListCells(ctx, "", api.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	capacity := map[api.CellID]api.Resources{}
	for _, cell := range cells.Cells {
		capacity[cell.CellID] = cell.Capacity
	}
	used, held := map[api.CellID]api.Resources{}, map[api.TenantID]int64{}
	counts := map[string]int{}
	for _, r := range records {
		var e leaseEvent
		if err := json.Unmarshal(r.Data, &e); err != nil {
			t.Fatalf("record %d: %v", r.Sequence, err)
		}
		counts[r.Kind+" "+string(e.Lease)+string(runOf(r.Kind, e))]++
		u := used[e.Cell]
		switch r.Kind {
		case "lease_granted":
			u = u.With(e.Kind, u.Get(e.Kind)+e.Amount)
			held[e.Tenant]++
			if !capacity[e.Cell].Fits(u) {
				t.Errorf("L1: after record %d cell %s holds %+v of %+v", r.Sequence, e.Cell, u, capacity[e.Cell])
			}
			if e.Tenant == tenantTight && held[e.Tenant] > 12 {
				t.Errorf("L2: after record %d tenant %s holds %d leases of 12", r.Sequence, e.Tenant, held[e.Tenant])
			}
		case "lease_torndown", "lease_failed_closed":
			u = u.With(e.Kind, u.Get(e.Kind)-e.Amount)
			held[e.Tenant]--
		case "lease_fenced":
			t.Errorf("lease %s was fenced", e.Lease)
		}
		used[e.Cell] = u
	}
	for _, ids := range w.history.grants {
		for _, id := range ids {
			if n := counts["lease_granted "+string(id)]; n != 1 {
				t.Errorf("L9: the grant of %s is in the chain %d times", id, n)
			}
		}
	}
	for id := range w.history.runs {
		for _, kind := range []string{"run_finished", "run_finalised"} {
			if n := counts[kind+" "+string(id)]; n != 1 {
				t.Errorf("L8: %s of %s is in the chain %d times", kind, id, n)
			}
		}
	}
	for key, n := range counts {
		if n > 1 && len(key) > 14 && key[:14] == "lease_granted " {
			t.Errorf("L9: %s is in the chain %d times", key, n)
		}
	}
	t.Logf("%d audit records verified on every scheduler", len(records))
}

// runOf names the run of a record about a run.
func runOf(kind string, e leaseEvent) api.RunID {
	if e.Lease == "" && len(kind) > 4 && kind[:4] == "run_" {
		return e.Run
	}
	return ""
}
