package control

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// leaderOf is another scheduler's peer interface, as this one reaches it.
type leaderOf struct {
	api.Peers
	take func(api.Report) (*api.ReportAnswer, error)
	ask  func(api.CellID, api.Ask) error
	refs []api.Digest
}

func (l *leaderOf) TakeReport(_ context.Context, _ api.ProviderID, _ api.CellID, r api.Report) (*api.ReportAnswer, error) {
	return l.take(r)
}

func (l *leaderOf) AskCell(_ context.Context, c api.CellID, a api.Ask) error { return l.ask(c, a) }

func (l *leaderOf) ReferBlob(_ context.Context, _ api.TenantID, d api.Digest, _ int64) error {
	l.refs = append(l.refs, d)
	return nil
}

func heartbeat(seq uint64) *api.Heartbeat {
	return &api.Heartbeat{Seq: seq, Stamp: api.Stamp{BootID: "boot", BootTime: 1}}
}

// TestHeartbeatStaysHere: it needs no leader and no log.
func TestHeartbeatStaysHere(t *testing.T) {
	r := newRig(t)
	epoch := r.cell("c1")
	r.follows = true
	before := r.index
	if _, err := r.c.Report(t.Context(), "aws", "c1", api.Report{Epoch: epoch, Heartbeat: heartbeat(1)}); err != nil {
		t.Fatal(err)
	}
	if s, ok := r.c.cfg.Sightings.Best("c1", epoch); !ok || s.Stamp.BootID != "boot" {
		t.Errorf("got %+v", s)
	}
	if r.index != before {
		t.Error("a heartbeat is in the log")
	}
}

// TestReportForwarded: a follower hands the effects to the leader, and goes on while
// leadership moves.
func TestReportForwarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.follows = true
		var got []api.Report
		r.peer = &leaderOf{take: func(rep api.Report) (*api.ReportAnswer, error) {
			got = append(got, rep)
			if len(got) < 3 {
				return nil, api.Refuse(api.NoLeader, "not any more")
			}
			return &api.ReportAnswer{Index: 7}, nil
		}}
		rep := api.Report{Epoch: epoch, Bound: []api.BoundReport{{LeaseID: "l1", Token: canary}}}
		a, err := r.c.Report(t.Context(), "aws", "c1", rep)
		if err != nil || a.Index != 7 {
			t.Fatalf("got %+v, %v", a, err)
		}
		if len(got) != 3 || got[2].Bound[0].Token != canary {
			t.Errorf("the leader got %+v", got)
		}
		r.peer = nil
		_, err = r.c.Report(t.Context(), "aws", "c1", rep)
		r.wantKind("no leader", err, api.NoLeader)
	})
}

// TestReportRepeated: the token survives a leader that loses its lead while it commits.
func TestReportRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.grant()
		l := r.lease("l-1-cpu")
		r.lose = 2
		rep := api.Report{Epoch: epoch, Bound: []api.BoundReport{{LeaseID: l.ID, Generation: 1, Epoch: l.Epoch, Token: canary}}}
		if _, err := r.c.Report(t.Context(), "aws", "c1", rep); err != nil {
			t.Fatal(err)
		}
		if rep.Bound[0].Token != canary {
			t.Error("the report lost its token")
		}
		if tok, ok := r.c.tokens.take(l.ID, 1); !ok || tok != canary {
			t.Errorf("got %q", tok)
		}
		if bytes.Contains(r.log.Bytes(), []byte(canary)) {
			t.Error("the token is in the log")
		}
	})
}

func TestReportRefused(t *testing.T) {
	r := newRig(t)
	epoch := r.cell("c1")
	_, err := r.c.Report(t.Context(), "aws", "c9", api.Report{Epoch: 1})
	r.wantKind("unknown", err, api.NotFound)
	_, err = r.c.Report(t.Context(), "gcp", "c1", api.Report{Epoch: epoch})
	r.wantKind("of another provider", err, api.NotFound)
	_, err = r.c.Report(t.Context(), "aws", "c1", api.Report{Epoch: epoch, Runs: make([]api.RunReport, api.MaxReportItems+1)})
	r.wantKind("too many", err, api.TooLarge)
	r.register("c1", "agent-2")
	_, err = r.c.Report(t.Context(), "aws", "c1", api.Report{Epoch: epoch, Heartbeat: heartbeat(1)})
	r.wantKind("old epoch", err, api.StaleEpoch)
	r.follows = true
	_, err = r.c.TakeReport(t.Context(), "aws", "c1", api.Report{Epoch: epoch + 1})
	r.wantKind("not the leader", err, api.NoLeader)
}

// TestRefusedItems: what the state will never take is told, and the rest is taken.
func TestRefusedItems(t *testing.T) {
	r := newRig(t)
	epoch := r.cell("c1")
	r.grant()
	l := r.lease("l-1-cpu")
	a, err := r.c.TakeReport(t.Context(), "aws", "c1", api.Report{Epoch: epoch, Bound: []api.BoundReport{
		{LeaseID: "l-unknown", Generation: 1}, {LeaseID: l.ID, Generation: 1, Epoch: l.Epoch},
	}})
	if err != nil || len(a.Refused) != 1 || a.Refused[0].LeaseID != "l-unknown" || r.lease(l.ID).BoundGeneration != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
}

// TestChunks: everything once, in an order that loses no result, in commands that fit.
func TestChunks(t *testing.T) {
	large := func(n int) []api.RunReport {
		runs := make([]api.RunReport, n)
		for i := range runs {
			runs[i].RunID = api.RunID(fmt.Sprint("r-", i))
			runs[i].Failure.Message = strings.Repeat("x", 1024)
			for range 32 {
				runs[i].Artifacts = append(runs[i].Artifacts, api.Artifact{Name: strings.Repeat("n", 64), Digest: api.Digest("sha256:" + strings.Repeat("0", 64))})
			}
		}
		return runs
	}
	busy := api.Report{}
	for i := range api.MaxReportItems {
		id := api.LeaseID(fmt.Sprintf("l-%026d", i))
		busy.Bound = append(busy.Bound, api.BoundReport{LeaseID: id, Generation: 1, Epoch: 1, Coordinate: "https://" + strings.Repeat("c", 100)})
		busy.Ended = append(busy.Ended, api.EndedReport{LeaseID: id, Epoch: 1, Reason: strings.Repeat("r", 20)})
	}
	tests := []struct {
		name   string
		report api.Report
		one    bool
	}{
		{"nothing", api.Report{}, false},
		{"a token only", api.Report{Minted: []api.Minted{{}}}, false},
		{"small", api.Report{Inventory: &api.InventoryReport{}, Bound: make([]api.BoundReport, 2), Runs: make([]api.RunReport, 2), Ended: make([]api.EndedReport, 2)}, true},
		{"many", api.Report{
			Inventory: &api.InventoryReport{}, Bound: make([]api.BoundReport, 200),
			Runs: make([]api.RunReport, api.MaxReportItems), Ended: make([]api.EndedReport, api.MaxReportItems),
		}, false},
		{"of a busy cell", busy, true},
		{"large", api.Report{Runs: large(api.MaxReportItems), Ended: make([]api.EndedReport, 1)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := chunks("c1", tt.report)
			if tt.one && len(out) != 1 {
				t.Errorf("%d commands", len(out))
			}
			var bound, runs, ended, inventories int
			for i, c := range out {
				if n := fsm.EncodedSize(c); n > fsm.MaxEntry {
					t.Errorf("command %d has %d bytes", i, n)
				}
				if ended > 0 && len(c.Runs) > 0 && !tt.one {
					t.Error("a run comes after an end")
				}
				if inventories > 0 {
					t.Error("something comes after the inventory")
				}
				for _, run := range c.Runs {
					if want := tt.report.Runs[runs].RunID; run.RunID != want {
						t.Errorf("run %s, want %s", run.RunID, want)
					}
					runs++
				}
				bound += len(c.Bound)
				ended += len(c.Ended)
				if c.Inventory != nil {
					inventories++
				}
			}
			if bound != len(tt.report.Bound) || runs != len(tt.report.Runs) || ended != len(tt.report.Ended) || (inventories == 1) != (tt.report.Inventory != nil) {
				t.Errorf("%d bound, %d runs, %d ended, %d inventories", bound, runs, ended, inventories)
			}
		})
	}
}

// TestAskElsewhere: the session is another scheduler's.
func TestAskElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		l := r.bound()
		r.peer = &leaderOf{ask: func(c api.CellID, a api.Ask) error {
			r.c.mints.answer(c, api.Minted{AskID: a.ID, Token: canary})
			return nil
		}}
		a, err := r.c.LeaseToken(r.acme(), l.ID, api.WriteOptions{})
		if err != nil || a.Lease.Token != canary {
			t.Errorf("got %+v, %v", a, err)
		}
		r.peer = &leaderOf{ask: func(api.CellID, api.Ask) error { return api.Refuse(api.NotFound, "not here") }}
		_, err = r.c.LeaseToken(r.acme(), l.ID, api.WriteOptions{})
		r.wantKind("nowhere", err, api.OutcomeUnknown)
	})
}
