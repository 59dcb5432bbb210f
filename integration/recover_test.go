package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// recovered is the part of operator recover's answer that the test reads.
type recovered struct {
	DryRun    bool   `json:"dry_run"`
	Verdict   string `json:"verdict"`
	Detail    string `json:"detail"`
	Survivors []struct {
		Node      api.NodeID `json:"node_id"`
		LastIndex uint64     `json:"last_index"`
		LastTerm  uint64     `json:"last_term"`
	} `json:"survivors"`
	Asked []struct {
		Node    api.NodeID `json:"node_id"`
		Answers bool       `json:"answers"`
	} `json:"asked"`
	Node   api.NodeID `json:"node_id"`
	Epoch  uint64     `json:"cluster_epoch"`
	Backup string     `json:"backup"`
}

// TestRecover takes two of three schedulers away for good. The third makes the cluster again,
// with every lease that was acknowledged; a scheduler with an empty disk joins it, and one that
// comes back from the dead with its old data sets that aside first.
func TestRecover(t *testing.T) {
	c := up(t, 1)
	held := map[api.LeaseID]uint64{}
	for range 12 {
		var set api.GrantSet
		if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "20m"); err != nil {
			t.Fatal(err)
		}
		held[set.Leases[0].ID] = set.Leases[0].Epoch
	}
	sameIndex(t, c)
	dir := filepath.Join(c.DevDir(), "nodes", "s3")
	args := []string{"operator", "recover", "--data-dir", dir, "--material", filepath.Join(c.DevDir(), "material"), "--yes"}
	refuse(t, c, api.Conflict, 7, args...) // it runs
	if err := c.Kill(t.Context(), "s3"); err != nil {
		t.Fatal(err)
	}
	was := nodeID(t, c, "s3")
	refuse(t, c, api.Conflict, 7, args...) // the other two answer
	if is := nodeID(t, c, "s3"); is != was {
		t.Errorf("refused, and %s is %s now", was, is)
	}
	var early recovered
	dryRun := func(to *recovered, more ...string) int {
		t.Helper()
		said, err := c.Exec(t.Context(), nil, append(append(args, "--dry-run", "--json"), more...)...)
		if err == nil {
			err = json.Unmarshal(said.Stdout, to)
		}
		if err != nil || (said.Code == 0) != (len(said.Stderr) == 0) {
			t.Fatalf("a dry run: %v, exit %d: %s", err, said.Code, said.Stderr)
		}
		return said.Code
	}
	if code := dryRun(&early); code != 7 || early.Verdict != "start_instead" { // as the real one
		t.Errorf("while a quorum is there, a dry run exits %d and says %+v", code, early)
	}
	for _, name := range []string{"s1", "s2"} {
		if err := c.Kill(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(c.DevDir(), "nodes", "s2")); err != nil {
		t.Fatal(err)
	}

	var dry, done recovered
	code := dryRun(&dry, "--compare", filepath.Join(c.DevDir(), "nodes", "s1"))
	if !dry.DryRun || dry.Node != "" || len(dry.Survivors) != 2 || dry.Survivors[0].Node != was || len(dry.Asked) != 2 || dry.Asked[0].Answers || dry.Asked[1].Answers {
		t.Errorf("the dry run says %+v", dry)
	}
	mine, other, want, exit := dry.Survivors[0], dry.Survivors[1], "may_be_recovered", 0
	if other.LastTerm > mine.LastTerm || other.LastTerm == mine.LastTerm && other.LastIndex > mine.LastIndex {
		want, exit = "other_has_more", 7 // the others lived on without it
	}
	if dry.Verdict != want || code != exit {
		t.Errorf("the verdict is %s, exit %d, want %s, exit %d of %+v", dry.Verdict, code, want, exit, dry)
	}
	piped, err := c.Run(t.Context(), append(args, "--dry-run")...)
	if err != nil || !strings.Contains(string(piped), "it can be recovered from this directory; nothing was changed\n") {
		t.Errorf("a pipe gets %s, %v", piped, err)
	}
	if err := c.JSON(t.Context(), &done, append(args, "--reason", "two disks were lost")...); err != nil {
		t.Fatal(err)
	}
	if is := nodeID(t, c, "s3"); done.Node != is || is == was || done.Epoch != 1 || done.Verdict != "recovered" {
		t.Errorf("recovered as %+v; the directory is %s's", done, is)
	}
	if _, err := os.Stat(filepath.Join(done.Backup, "raft.db")); err != nil {
		t.Error(err)
	}

	if err := c.Restart(t.Context(), "s3"); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, c, "s3")
	leases := map[api.LeaseID]api.Lease{}
	var list api.LeaseList
	if err := c.JSON(t.Context(), &list, "lease", "list"); err != nil {
		t.Fatal(err)
	}
	for _, l := range list.Leases {
		leases[l.ID] = l
	}
	for id, epoch := range held {
		if l := leases[id]; l.State != api.LeaseActive || l.Epoch != epoch {
			t.Errorf("lease %s of epoch %d is %s, epoch %d", id, epoch, l.State, l.Epoch)
		}
	}
	var set api.GrantSet
	if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "20m"); err != nil {
		t.Fatal(err)
	}
	if set.Leases[0].Epoch <= 1<<32 {
		t.Errorf("a new lease has epoch %d: it may have been given before", set.Leases[0].Epoch)
	}

	old := nodeID(t, c, "s1")
	for _, name := range []string{"s1", "s2"} {
		if err := c.Restart(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	wantGroup(t, c, "s1 s2 s3")
	if is := nodeID(t, c, "s1"); is == old {
		t.Errorf("s1 came back with its old data, as %s", is)
	}
	if aside, err := filepath.Glob(filepath.Join(c.DevDir(), "nodes", "s1", "raft.damaged-*")); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	if n := countKind(checkAgreement(t, c), "cluster_recovered"); n != 1 {
		t.Errorf("%d records of the recovery", n)
	}
}

// sameIndex waits until every scheduler has applied what any of them had committed.
func sameIndex(t *testing.T, c *harness.Cluster) {
	t.Helper()
	goal := uint64(0)
	eventually(t, 20*time.Second, func() string {
		states, err := c.States(t.Context())
		if err != nil {
			return err.Error()
		}
		if goal == 0 {
			for _, st := range states {
				goal = max(goal, st.CommitIndex)
			}
		}
		for _, st := range states {
			if st.AppliedIndex < goal {
				return string(st.Node) + " is behind"
			}
		}
		return ""
	})
}
