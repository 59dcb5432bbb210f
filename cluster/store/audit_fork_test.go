package store

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// TestAuditFork: the cluster goes back to record 700 and on from there. What both chains share
// comes from what was set aside, the rest from a peer.
func TestAuditFork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, dir)
	old := chain(t, 1000, 40)
	if err := a.Append(old); err != nil {
		t.Fatal(err)
	}
	fresh := branched(t, old, 700, 720)

	for range 2 { // the second time it is the chain of that epoch already
		if err := a.Fork(1); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.Head(); got != (api.AuditHead{}) {
		t.Fatalf("the head after the fork is %+v", got)
	}
	if err := a.Append(fresh[719:]); err != nil {
		t.Fatal(err)
	}
	recalled := 0
	for {
		from, to, gap := a.Missing()
		if !gap {
			break
		}
		did, err := a.Recall()
		if err != nil {
			t.Fatal(err)
		}
		if did {
			recalled++
			continue
		}
		// A page that is of the new chain alone, or partly: a peer has it.
		if err := a.Backfill(fresh[max(from, 701)-1 : to]); err != nil {
			t.Fatal(err)
		}
	}
	if recalled == 0 {
		t.Error("nothing came from what was set aside")
	}
	if diff := cmp.Diff(fresh, readAll(t, a, 0)); diff != "" {
		t.Errorf("the chain (-want +got):\n%s", diff)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	again := openAudit(t, dir)
	if err := again.Fork(1); err != nil || again.Head() != (api.AuditHead{Sequence: 720, Hash: fresh[719].Hash}) {
		t.Errorf("opened again: %v, head %+v", err, again.Head())
	}
	kept := openAudit(t, dir+".epoch-0")
	if diff := cmp.Diff(old, readAll(t, kept, 0)); diff != "" {
		t.Errorf("what was set aside (-want +got):\n%s", diff)
	}
}

// branched is a chain that is recs up to the record at, and another one from there up to the record to.
func branched(t *testing.T, recs []api.AuditRecord, at, to int) []api.AuditRecord {
	t.Helper()
	fresh := slices.Clone(recs[:to])
	for i := at; i < to; i++ {
		fresh[i].Kind, fresh[i].PrevHash = "cluster_recovered", fresh[i-1].Hash
		hash, err := api.AuditHash(fresh[i])
		must(t, err)
		fresh[i].Hash = hash
	}
	return fresh
}

// TestAuditForksInTurn: the cluster goes back again before anything came from what was set aside the
// first time. All that both chains before share with the last one is still to be had.
func TestAuditForksInTurn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, dir)
	chains := [][]api.AuditRecord{chain(t, 1000, 40)}
	must(t, a.Append(chains[0]))
	for i, at := range []int{700, 750, 800} {
		must(t, a.Fork(uint64(i+1)))
		next := branched(t, chains[i], at, len(chains[i])-10)
		must(t, a.Append(next[at:]))
		chains = append(chains, next)
	}
	for range 2 { // the second time after a start
		for {
			if _, _, gap := a.Missing(); !gap {
				break
			}
			if did, err := a.Recall(); !did || err != nil {
				from, to, _ := a.Missing()
				t.Fatalf("nobody has %d to %d, %v", from, to, err)
			}
		}
		if diff := cmp.Diff(chains[3], readAll(t, a, 0)); diff != "" {
			t.Errorf("the chain (-want +got):\n%.300s", diff)
		}
		must(t, a.Close())
		a = openAudit(t, dir)
	}
}

// TestAuditForkOfNothing moves nothing.
func TestAuditForkOfNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	a := openAudit(t, dir)
	if err := a.Fork(3); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + ".epoch-0"); err == nil {
		t.Error("an empty chain was set aside")
	}
	if err := a.Append(chain(t, 3, 0)); err != nil {
		t.Fatal(err)
	}
	if err := a.Fork(3); err != nil || a.Head().Sequence != 3 {
		t.Errorf("%v, head %d", err, a.Head().Sequence)
	}
}
