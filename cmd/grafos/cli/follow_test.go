package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestRevokeCellDrains(t *testing.T) {
	r := newRig(t)
	r.leases[0].State = api.LeaseRevokeWarning
	steps := 0
	r.after = func(f *fake) {
		if steps++; steps == 2 {
			f.cells[0].Leases, f.cells[0].State = 0, api.CellRevoked
		}
	}
	r.run("provider", "revoke-cell", "aws", "aws-1", "--yes").want(t, 0, "aws-1\taws\trevoked\t0", "")
	if steps != 2 {
		t.Errorf("returned after %d reads", steps)
	}
}

func TestRevokeCellInterrupted(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.after = func(f *fake) {
		cancel()
		f.once["ProviderStatus"] = context.Canceled
	}
	r.runIn(ctx, "provider", "revoke-cell", "aws", "aws-1", "--yes").want(t, 8, "", "the revocation of aws-1 goes on")
}

func TestRevokeUnknownCell(t *testing.T) {
	newRig(t).run("provider", "revoke-cell", "aws", "nope", "--yes").want(t, 5, "", `"nope"`)
}

func TestWatchPrintsEachChangeOnce(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	r.after = func(f *fake) {
		age := int64(reads)
		f.fresh.LastContactMs = &age // that a stale answer is older is no change
		switch reads++; reads {
		case 1: // nothing changes
		case 2:
			f.runs[2].State = api.RunSucceeded
		case 3:
			cancel()
		}
	}
	got := r.runIn(ctx, "run", "list", "-w", "-o", "jsonl")
	got.want(t, 0, "", "")
	if n := strings.Count(got.out, "\n"); n != 2 {
		t.Errorf("%d documents, want 2:\n%s", n, got.out)
	}
	for line := range strings.Lines(got.out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a document: %s", line)
		}
	}
}

func TestWatchInAPipePrintsChangedRows(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	r.after = func(f *fake) {
		if reads++; reads == 1 {
			f.runs[2].State = api.RunSucceeded
			return
		}
		cancel()
	}
	got := r.runIn(ctx, "run", "list", "-w")
	if n := strings.Count(got.out, "r-5b01aa"); n != 1 {
		t.Errorf("an unchanged row was printed %d times", n)
	}
	if n := strings.Count(got.out, "r-9d0101"); n != 2 {
		t.Errorf("a changed row was printed %d times", n)
	}
}

func TestRunShowWatchesToTheEnd(t *testing.T) {
	r := newRig(t)
	r.runs[0].Finalised = false
	r.after = func(f *fake) { f.runs[0].Finalised = true }
	r.env["GRAFOS_FORCE_TTY"] = "100"
	r.run("run", "show", "r-5b01aa", "-w").want(t, 0, "live · index 1873", "")
}

func TestListsPageByThemselves(t *testing.T) {
	r := newRig(t)
	r.pageSize = 1
	got := r.run("lease", "list", "--all", "--json")
	got.want(t, 0, "", "")
	var list api.LeaseList
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list.Leases) != 2 || list.NextPage != "" {
		t.Errorf("list is %+v, %v", list, err)
	}
}

func TestNamesJQAndTemplate(t *testing.T) {
	r := newRig(t)
	tests := map[string][]string{
		"aws-1\naws-2\nazure-1\n": {"fabric", "cells", "-o", "name"},
		"aws-2\nazure-1\n":        {"fabric", "cells", "--jq", ".cells[] | select(.ready | not) | .cell_id"},
		"aws azure ":              {"provider", "list", "--template", "{{range .providers}}{{.provider}} {{end}}"},
		"lease_granted\n":         {"fabric", "events", "--type", "lease_", "--jq", ".type"},
		"1\n2\n3\n":               {"admin", "audit-query", "-o", "name"},
	}
	for want, args := range tests {
		if got := r.run(args...); got.out != want || got.code != 0 {
			t.Errorf("%v: exit %d, %q, want %q; %s", args, got.code, got.out, want, got.err)
		}
	}
}

func TestDocumentIsTheAnswerOfTheAPI(t *testing.T) {
	r := newRig(t)
	want, err := json.Marshal(api.CellList{Index: fakeIndex, Cells: r.cells})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.run("fabric", "cells", "--json"); got.out != string(want)+"\n" {
		t.Errorf("got  %s\nwant %s", got.out, want)
	}
}
