package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// archive is the part of snapshot save, inspect and verify that the test reads.
type archive struct {
	Index     uint64 `json:"index"`
	SHA256    string `json:"sha256"`
	ClusterID string `json:"cluster_id"`
	State     struct {
		Tenants int `json:"tenants"`
		Leases  int `json:"leases"`
	} `json:"state"`
}

// TestSnapshots saves the state, goes on, and goes back. What was granted in between is stopped
// on its cell, what the file holds is ended, no fencing number comes twice, and every scheduler
// has one chain of audit records, which goes on where the file ends.
func TestSnapshots(t *testing.T) {
	c := up(t, 2)
	lease := func() api.Grant {
		var set api.GrantSet
		if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "20m"); err != nil {
			t.Fatal(err)
		}
		return set.Leases[0]
	}
	held := lease()
	file := filepath.Join(c.Dir(), "state.grafsnap")
	var saved, inspected, verified archive
	if err := c.JSON(t.Context(), &saved, "operator", "snapshot", "save", file); err != nil {
		t.Fatal(err)
	}
	if err := c.JSON(t.Context(), &inspected, "operator", "snapshot", "inspect", file); err != nil {
		t.Fatal(err)
	}
	if err := c.JSON(t.Context(), &verified, "operator", "snapshot", "verify", file); err != nil {
		t.Fatal(err)
	}
	if saved.Index == 0 || inspected != verified || inspected.SHA256 != saved.SHA256 || inspected.State.Leases != 1 || inspected.State.Tenants != 1 {
		t.Errorf("saved %+v, inspected %+v, verified %+v", saved, inspected, verified)
	}
	stale := filepath.Join(c.Dir(), "stale.grafsnap")
	if _, err := c.Run(t.Context(), "operator", "snapshot", "save", "--stale", stale); err != nil {
		t.Error(err)
	}
	testBadArchives(t, c, file)
	refuse(t, c, api.NotFound, 5, "operator", "snapshot", "save", filepath.Join(c.Dir(), "none", "x"))
	refuse(t, c, api.InvalidArgument, 2, "operator", "snapshot", "save", c.Dir())

	lost := lease()
	if _, err := c.Run(t.Context(), "admin", "create-tenant", "later"); err != nil {
		t.Fatal(err)
	}
	var dry, done api.RestoreReport
	if err := c.JSON(t.Context(), &dry, "operator", "snapshot", "restore", file, "--dry-run"); err != nil {
		t.Fatal(err)
	}
	if !dry.DryRun || dry.LeasesLost != 1 || dry.LeasesEnded != 1 || dry.Before.Tenants != 2 || dry.Snapshot.Tenants != 1 {
		t.Errorf("the dry run says %+v", dry)
	}
	if l := showLeaseOf(t, c, lost.ID); l.State != api.LeaseActive {
		t.Errorf("after a dry run the lease is %s", l.State)
	}
	refuse(t, c, api.InvalidArgument, 2, "operator", "snapshot", "restore", file)
	began := time.Now()
	key := []string{"--yes", "--idempotency-key", "a-restore", "--reason", "a drill"}
	again := func() (report api.RestoreReport) {
		t.Helper()
		if err := c.JSON(t.Context(), &report, append([]string{"operator", "snapshot", "restore", file}, key...)...); err != nil {
			t.Fatal(err)
		}
		return report
	}
	done = again()
	if done.Repeated || done.LeasesLost != 1 || done.LeasesEnded != 1 || done.Before.Tenants != 2 || done.Snapshot.Tenants != 1 {
		t.Errorf("the restore says %+v", done)
	}
	wantAgain := func(when string) { // what is done already is answered as it was
		t.Helper()
		second := again()
		was := second.Repeated
		if second.Repeated = false; !was || second != done {
			t.Errorf("%s it says repeated %v: %+v, first it was %+v", when, was, second, done)
		}
	}
	wantAgain("the second time")
	// Under the same key another file is another request.
	other := filepath.Join(c.Dir(), "other.grafsnap")
	if _, err := c.Run(t.Context(), "operator", "snapshot", "save", other); err != nil {
		t.Fatal(err)
	}
	refuse(t, c, api.Conflict, 7, append([]string{"operator", "snapshot", "restore", other}, key...)...)
	t.Logf("restored twice in %s", time.Since(began).Round(time.Millisecond))
	refuse(t, c, api.NotFound, 5, "lease", "show", string(lost.ID))
	eventually(t, 20*time.Second, func() string {
		if l := showLeaseOf(t, c, held.ID); l.State != api.LeaseTornDown {
			return "the lease of the file is " + string(l.State)
		}
		return ""
	})
	var later api.LeaseID
	// Its cell has stopped what the cluster knows nothing of.
	eventually(t, 20*time.Second, func() string {
		var set api.GrantSet
		if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "20m"); err != nil {
			return err.Error()
		}
		if set.Leases[0].Epoch <= 1<<32 {
			t.Fatalf("a new lease has epoch %d", set.Leases[0].Epoch)
		}
		later = set.Leases[0].ID
		return ""
	})
	if _, err := c.Run(t.Context(), "operator", "raft", "transfer"); err != nil {
		t.Fatal(err)
	}
	wantAgain("at the next leader")
	if l := showLeaseOf(t, c, later); l.State != api.LeaseActive {
		t.Errorf("asked again, the restore ends a lease that was given after it: it is %s", l.State)
	}
	said, err := c.Exec(t.Context(), nil, "lease", "read", string(lost.ID), "--length", "1", "--json")
	if err != nil || said.Code == 0 {
		t.Errorf("what was lost can still be read: %v, %s", err, said.Stdout)
	}
	var tenants api.TenantList
	if err := c.JSON(t.Context(), &tenants, "admin", "list-tenants"); err != nil || len(tenants.Tenants) != 1 {
		t.Errorf("%v: %d tenants", err, len(tenants.Tenants))
	}
	wantGroup(t, c, "s1 s2 s3")
	if n := countKind(checkAgreement(t, c), "cluster_recovered"); n != 1 {
		t.Errorf("%d records of the restore", n)
	}

	// A scheduler that was started again has the restored state too.
	if err := c.Restart(t.Context(), followerOf(t, c).Name); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, c, "s1 s2 s3")
	if n := countKind(checkAgreement(t, c), "cluster_recovered"); n != 1 {
		t.Errorf("%d records of the restore", n)
	}
}

func showLeaseOf(t *testing.T, c *harness.Cluster, id api.LeaseID) api.Lease {
	t.Helper()
	var a api.LeaseAnswer
	if err := c.JSON(t.Context(), &a, "lease", "show", string(id)); err != nil {
		t.Fatal(err)
	}
	return a.Lease.Lease
}

// testBadArchives: what is not as it was saved is refused, before anything is changed.
func testBadArchives(t *testing.T, c *harness.Cluster, file string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(c.Dir(), "bad.grafsnap")
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-9] ^= 1
	for name, b := range map[string][]byte{
		"cut": whole[:len(whole)-1], "flipped": flipped, "longer": append(bytes.Clone(whole), 0), "nothing": nil, "another thing": []byte("not an archive of a state"),
	} {
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"verify", bad}, {"inspect", bad}, {"restore", bad, "--yes"}} {
			said, err := c.Exec(t.Context(), nil, append([]string{"operator", "snapshot"}, args...)...)
			if err != nil || said.Code != 2 {
				t.Errorf("%s, %v: %v, exit %d: %s", name, args, err, said.Code, said.Stderr)
			}
		}
	}
	refuse(t, c, api.NotFound, 5, "operator", "snapshot", "verify", filepath.Join(c.Dir(), "none"))
}
