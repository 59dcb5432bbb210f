package control

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// digest is of "data".
const digest = api.Digest("sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7")

func TestBlobs(t *testing.T) {
	r := newRig(t)
	put := func(ctx context.Context) error { return r.c.PutBlob(ctx, digest, 4, strings.NewReader("data")) }
	reads := func(ctx context.Context) string {
		has, err := r.c.HasBlob(ctx, digest)
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := r.c.GetBlob(ctx, digest)
		if (err == nil) != has {
			t.Errorf("has %v, get %v", has, err)
		}
		if err != nil {
			return string(api.KindOf(err))
		}
		b, _ := io.ReadAll(body)
		return string(b)
	}
	other, viewer := as(t.Context(), api.RoleTenant, "other"), as(t.Context(), api.RoleViewer, "eve")
	cell := api.WithCaller(t.Context(), api.Caller{Role: api.RoleCell, Provider: "aws", Cell: "c1"})
	if err := put(r.acme()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a case of the table
		want string
	}{
		{"its tenant", r.acme(), "data"},
		{"another tenant", other, "not_found"},
		{"operator", r.operator(), "not_found"},
		{"viewer", viewer, "not_found"},
		{"cell", cell, "data"},
		{"nobody", t.Context(), "not_found"},
	} {
		if got := reads(tt.ctx); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	// A blob that is there is not read again, and whoever only knows its digest gets nothing of it.
	for size, body := range map[int64]string{0: "", 4: "date", 3: "data", 5: "data"} {
		if err := r.c.PutBlob(other, digest, size, strings.NewReader(body)); err == nil || reads(other) != "not_found" {
			t.Errorf("with %q of %d bytes another tenant's blob is had: %v", body, size, err)
		}
	}
	if err := put(other); err != nil || reads(other) != "data" {
		t.Errorf("what is put again is one's own: %v", err)
	}
	before := r.index
	if err := put(cell); err != nil || r.index != before {
		t.Errorf("a cell's blob is referenced by its run: %v", err)
	}
	r.wantKind("digest", r.c.PutBlob(r.acme(), "md5:1", 4, strings.NewReader("data")), api.KindOf(api.CheckDigest("md5:1")))
	r.wantKind("size", r.c.PutBlob(r.acme(), digest, api.MaxModuleBytes+1, strings.NewReader("")), api.TooLarge)
	r.wantKind("negative", r.c.PutReplica(t.Context(), digest, -1, strings.NewReader("")), api.TooLarge)
	_, _, err := r.c.GetReplica(t.Context(), "md5:1")
	r.wantKind("replica", err, api.KindOf(api.CheckDigest("md5:1")))
}

// TestBlobThroughFollower: the reference is committed by the leader before the put returns.
func TestBlobThroughFollower(t *testing.T) {
	r := newRig(t)
	leader := &leaderOf{}
	r.follows, r.peer = true, leader
	if err := r.c.PutBlob(r.acme(), digest, 4, strings.NewReader("data")); err != nil {
		t.Fatal(err)
	}
	if len(leader.refs) != 1 || leader.refs[0] != digest {
		t.Errorf("the leader got %v", leader.refs)
	}
}

// TestRunNeedsItsTenantsBlobs: a digest alone gives no right to another tenant's bytes.
func TestRunNeedsItsTenantsBlobs(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	run := api.RunRequest{Provider: "aws", Module: digest, Resources: api.Resources{CPU: 1, Mem: 1 << 20}, TTLMs: 60_000}
	if err := r.c.PutBlob(as(t.Context(), api.RoleTenant, "other"), digest, 4, strings.NewReader("data")); err != nil {
		t.Fatal(err)
	}
	_, err := r.c.StartRun(r.acme(), run, api.WriteOptions{})
	r.wantKind("another tenant's", err, api.NotFound)
	if _, err := r.c.StartRun(r.acme(), run, api.WriteOptions{DryRun: true}); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if err := r.c.PutBlob(r.acme(), digest, 4, strings.NewReader("data")); err != nil {
		t.Fatal(err)
	}
	a, err := r.c.StartRun(r.acme(), run, api.WriteOptions{IdempotencyKey: "k"})
	if err != nil || a.State != api.RunPlaced || len(a.Leases) != 2 || a.Artifacts == nil {
		t.Fatalf("got %+v, %v", a, err)
	}
	again, err := r.c.StartRun(r.acme(), run, api.WriteOptions{IdempotencyKey: "k"})
	if err != nil || again.ID != a.ID {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	_, err = r.c.ShowRun(as(t.Context(), api.RoleTenant, "other"), a.ID, api.ReadOptions{})
	r.wantKind("another tenant looks", err, api.NotFound)
	_, _, err = r.c.RunArtifact(r.acme(), a.ID, "response.json")
	r.wantKind("no artifact", err, api.NotFound)
}

func TestReadiness(t *testing.T) {
	cell := func(ready bool, mode api.CellMode, revoked bool) counted {
		return counted{ready: ready, mode: mode, revoked: revoked, capacity: api.Resources{CPU: 4}, free: api.Resources{CPU: 1}, leases: 2}
	}
	up, down := cell(true, api.ModeAccepting, false), cell(false, api.ModeAccepting, false)
	tests := []struct {
		name    string
		enabled bool
		cells   []counted
		want    api.RuntimeReadiness
		total   int
		ready   int
	}{
		{"disabled", false, []counted{up}, api.ProviderDisabled, 1, 1},
		{"no cell", true, nil, api.ProviderNotReady, 0, 0},
		{"none ready", true, []counted{down, down}, api.ProviderNotReady, 2, 0},
		{"all ready", true, []counted{up, up}, api.ProviderReady, 2, 2},
		{"some", true, []counted{up, down}, api.ProviderDegraded, 2, 1},
		{"revoked does not count", true, []counted{up, cell(false, api.ModeAccepting, true)}, api.ProviderReady, 1, 1},
		{"drained does not count", true, []counted{up, cell(false, api.ModeDrained, false)}, api.ProviderReady, 2, 1},
		{"nor does maintenance", true, []counted{up, cell(false, api.ModeMaintenance, false)}, api.ProviderReady, 2, 1},
		{"a drained one stands in for nobody", true, []counted{up, down, cell(true, api.ModeDrained, false)}, api.ProviderDegraded, 3, 2},
		{"only a drained one", true, []counted{cell(true, api.ModeDrained, false)}, api.ProviderNotReady, 1, 1},
		{"draining counts", true, []counted{up, cell(false, api.ModeDraining, false)}, api.ProviderDegraded, 2, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sums := newTally(api.Provider{ID: "aws", Enabled: tt.enabled})
			for _, c := range tt.cells {
				sums.add(c)
			}
			s := sums.sum()
			if s.RuntimeReadiness != tt.want || s.CellsTotal != tt.total || s.CellsReady != tt.ready {
				t.Errorf("got %+v", s)
			}
			if s.Capacity.CPU != int64(4*tt.total) || s.Free.CPU != int64(tt.ready) || s.Leases != 2*tt.total {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// TestShow: what this scheduler knows of a cell's life is told with its record.
func TestShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.c.cfg.Sightings.SessionOpened("c1", epoch)
		r.c.cfg.Sightings.Heartbeat("c1", epoch, *heartbeat(1), heartbeatLimit)
		time.Sleep(47 * time.Second)
		r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: epoch, Healthy: &api.Condition{Code: "heartbeat_overdue", Message: "old"}}}})
		list, err := r.c.ListCells(r.operator(), "aws", api.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c := list.Cells[0]
		if time.Since(c.LastSeen) != 47*time.Second || c.Session != "s1" || c.Reasons[0].Message != "last heartbeat 47s ago, limit 15s" {
			t.Errorf("got %+v", c)
		}
		r.c.cfg.Sightings.SessionClosed("c1", epoch)
		time.Sleep(16 * time.Second)
		r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: epoch, Outbound: &api.Condition{Code: "session_lost", Message: "old"}}}})
		if list, err = r.c.ListCells(r.operator(), "aws", api.ReadOptions{}); err != nil {
			t.Fatal(err)
		}
		if c = list.Cells[0]; c.Session != "" || c.Reasons[1].Message != "last session ended 16s ago, limit 15s" {
			t.Errorf("got %+v", c.Reasons)
		}
		_, err = r.c.ListCells(r.operator(), "nowhere", api.ReadOptions{})
		r.wantKind("unknown provider", err, api.NotFound)
		_, err = r.c.ProviderStatus(r.operator(), "nowhere", api.ReadOptions{})
		r.wantKind("unknown provider", err, api.NotFound)
	})
}

func TestOperator(t *testing.T) {
	r := newRig(t)
	st, err := r.c.NodeState(r.operator())
	if err != nil || len(st.Broken) != 0 {
		t.Errorf("got %+v, %v", st, err)
	}
	for _, asked := range []int{-1, 0, maxAuditPage + 1} {
		page, err := r.c.AuditReplica(t.Context(), api.AuditFilter{Limit: asked})
		if err != nil || page.Next != maxAuditPage {
			t.Errorf("limit %d: %+v, %v", asked, page, err)
		}
		if page, err := r.c.AuditRecords(r.operator(), api.AuditFilter{Limit: asked}, api.ReadOptions{}); err != nil || page.Next != maxAuditPage || page.Records == nil {
			t.Errorf("limit %d: %+v, %v", asked, page, err)
		}
	}
}
