package control

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// doneBefore are archives of a restore that was done already.
type doneBefore struct{ id string }

func (doneBefore) SaveSnapshot(context.Context, bool) (io.ReadCloser, error) {
	return nil, noArchives()
}

func (d doneBefore) RestoreArchive(_ context.Context, _ io.Reader, o RestoreOrder) (*api.RestoreReport, error) {
	return &api.RestoreReport{Repeated: true, Recovery: d.id, DryRun: o.DryRun, LeasesLost: 77}, nil
}

// chain is an audit log whose records up to absent are on another scheduler.
type chain struct {
	records []api.AuditRecord
	absent  uint64
}

type absent struct {
	error
	from, to uint64
}

func (a absent) Missing() (from, to uint64) { return a.from, a.to }

func (c chain) Read(f api.AuditFilter) (recs []api.AuditRecord, next uint64, err error) {
	if f.From <= c.absent {
		return nil, 0, absent{io.EOF, f.From, min(c.absent, f.To)}
	}
	for _, r := range c.records {
		if r.Sequence >= f.From && r.Sequence <= f.To && r.Kind == f.Kind {
			recs = append(recs, r)
		}
	}
	return recs, 0, nil
}

// TestRestoreAgain: a restore that was done is answered as it was then, from the record of it,
// also where older records are not here, and ends no lease that was given after it.
func TestRestoreAgain(t *testing.T) {
	r := newRig(t)
	r.cell("aws-1")
	r.grantTo("acme", "aws-1", "l-old", "")
	old := r.lease("l-old")
	r.grantTo("acme", "aws-1", "l-new", "")
	head := r.m.View().AuditHead().Sequence
	first := api.RestoreReport{Recovery: "rst-1", Index: 42, Newest: old.Epoch, LeasesLost: 3, LeasesEnded: 1}
	fact := func(id string, report *api.RestoreReport) api.AuditRecord {
		data, err := json.Marshal(fsm.RecoveryFact{ID: id, Before: 0, Report: report})
		if err != nil {
			t.Fatal(err)
		}
		return api.AuditRecord{Sequence: head, Kind: fsm.AuditClusterRecovered, Data: data}
	}
	ask := func(id string, o api.WriteOptions, log chain) api.RestoreReport {
		t.Helper()
		r.c.cfg.Archives, r.c.cfg.Audit = doneBefore{id}, log
		got, err := r.c.RestoreSnapshot(r.operator(), 0, strings.NewReader(""), o)
		if err != nil {
			t.Fatal(err)
		}
		return *got
	}
	want := first
	want.Repeated = true
	log := chain{records: []api.AuditRecord{fact("rst-0", &api.RestoreReport{}), fact("rst-1", &first)}}
	if got := ask("rst-1", api.WriteOptions{}, log); got != want {
		t.Errorf("answered %+v, want %+v", got, want)
	}
	log.absent = head - 1
	if got := ask("rst-1", api.WriteOptions{}, log); got != want {
		t.Errorf("with records missing: %+v, want %+v", got, want)
	}
	want.DryRun = true
	if got := ask("rst-1", api.WriteOptions{DryRun: true}, log); got != want {
		t.Errorf("a dry run: %+v, want %+v", got, want)
	}
	for id, ends := range map[api.LeaseID]bool{"l-old": true, "l-new": false} {
		if l := r.lease(id); (l.State != api.LeaseActive) != ends {
			t.Errorf("lease %s is %s", id, l.State)
		}
	}
	// An older release kept no report.
	log = chain{records: []api.AuditRecord{fact("rst-1", nil)}}
	if got := ask("rst-1", api.WriteOptions{}, log); !got.Repeated || got.LeasesLost != 77 {
		t.Errorf("of an older release: %+v", got)
	}
	log.absent = head
	if got := ask("rst-1", api.WriteOptions{}, log); got.LeasesLost != 77 {
		t.Errorf("of a record that is nowhere: %+v", got)
	}
	if l := r.lease("l-new"); l.State != api.LeaseActive {
		t.Errorf("the newer lease is %s", l.State)
	}
}
