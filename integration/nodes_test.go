package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// testNodes is about processes: the commands of dev, twice each, and nodes that are started
// with what is not theirs.
func (d *door) testNodes(t *testing.T) {
	defer d.sound(t)
	t.Run("up twice", func(t *testing.T) {
		d.must(t, "dev", "up")
		before := d.pids
		d.look(t)
		if !slices.Equal(before, d.pids) {
			t.Errorf("processes were %v, are %v", before, d.pids)
		}
	})
	t.Run("found from below", func(t *testing.T) {
		below := filepath.Join(d.Dir(), "some", "where")
		if err := os.MkdirAll(below, 0o700); err != nil {
			t.Fatal(err)
		}
		inner := harness.At(binary(t), below)
		if _, err := inner.Run(t.Context(), "provider", "list"); err != nil {
			t.Error(err)
		}
	})
	t.Run("kill, restart, twice", d.testRestart)
	t.Run("newcomer", d.testNewcomer)
	t.Run("directory of another cluster", d.testForeignDirectory)
	t.Run("second cluster", d.testSecondCluster)
}

// testRestart ends a follower and a cell; they come back as who they were.
func (d *door) testRestart(t *testing.T) {
	s, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	follower := ""
	for _, n := range s.Schedulers {
		if n.Role == "follower" {
			follower = n.Name
		}
	}
	role := func(name string) string {
		s, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Schedulers {
			if n.Name == name {
				return n.Role
			}
		}
		return ""
	}
	d.must(t, "dev", "kill", follower)
	d.refuse(t, api.Conflict, 7, "dev restart "+follower, "dev", "kill", follower)
	if is := role(follower); is != "down" {
		t.Errorf("%s was killed and is %s", follower, is)
	}
	d.must(t, "lease", "request", "--provider", "local", "--tenant", "acme", "--mem", "64K", "--ttl", "1s")
	began := time.Now()
	d.must(t, "dev", "restart", follower)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("restart took %s", took)
	}
	d.must(t, "dev", "restart", follower)
	if role(follower) == "down" {
		t.Errorf("%s is down after its restart", follower)
	}

	before := cellOf(t, d, "local", "local-2")
	for _, signal := range []string{"STOP", "CONT"} {
		d.must(t, "dev", "kill", "local-2", "--signal", signal)
	}
	d.must(t, "dev", "kill", "local-2")
	d.must(t, "dev", "restart", "local-2")
	d.must(t, "dev", "restart", "local-2")
	after := cellOf(t, d, "local", "local-2")
	if !after.Ready || after.SPIFFEID != before.SPIFFEID || after.Epoch <= before.Epoch {
		t.Errorf("local-2 was %s at epoch %d, is %s at epoch %d, ready %v", before.SPIFFEID, before.Epoch, after.SPIFFEID, after.Epoch, after.Ready)
	}
	d.look(t) // other processes now, on purpose
	eventually(t, 10*time.Second, func() string {
		states, err := d.States(t.Context())
		if err != nil {
			return err.Error()
		}
		for _, s := range states {
			if !s.Ready {
				return string(s.Node) + ": " + s.NotReady
			}
		}
		return ""
	})
}

// testNewcomer starts a scheduler that has no data, would be content with itself, and is told
// of the cluster: it must not found another one.
func (d *door) testNewcomer(t *testing.T) {
	log, err := os.Create(filepath.Join(d.scratch, "newcomer.log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, binary(t), "server", "--name", "newcomer", "--data-dir", filepath.Join(d.scratch, "newcomer"),
		"--material", filepath.Join(d.DevDir(), "material"), "--bootstrap-expect", "1", "--join", d.flagOf(t, "s1", "--gossip-bind"),
		"--bind", "127.0.0.1:0", "--raft-bind", "127.0.0.1:0", "--gossip-bind", freePort(t))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed
		_ = log.Close()
	}()
	eventually(t, 20*time.Second, func() string {
		b, err := os.ReadFile(log.Name())
		if err != nil {
			return err.Error()
		}
		if strings.Contains(string(b), "cluster formed") {
			t.Fatalf("it founded a cluster of its own:\n%s", b)
		}
		if !strings.Contains(string(b), "belongs to a cluster that has data") {
			return "it says:\n" + string(b)
		}
		return ""
	})
}

// freePort returns an address on loopback that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing was accepted
	return l.Addr().String()
}

// testForeignDirectory starts schedulers on data that is not theirs, and a cell with an
// identity that is not of this cluster. Each says what is wrong and ends.
func (d *door) testForeignDirectory(t *testing.T) {
	data := filepath.Join(d.scratch, "copied")
	if err := os.CopyFS(data, os.DirFS(filepath.Join(d.DevDir(), "nodes", "s1"))); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	foreign := filepath.Join(d.scratch, "material-of-another")
	d.must(t, "admin", "init-ca", "--out", foreign)
	server := func(name, material, dir string) []string {
		return []string{
			"server", "--name", name, "--data-dir", dir, "--material", material, "--bootstrap-expect", "1",
			"--bind", "127.0.0.1:0", "--raft-bind", "127.0.0.1:0", "--gossip-bind", "127.0.0.1:0", "--log-level", "off",
		}
	}
	material := filepath.Join(d.DevDir(), "material")
	d.refuse(t, api.Conflict, 7, "belongs to cluster", server("s1", foreign, data)...)
	d.refuse(t, api.Conflict, 7, "belongs to scheduler s1", server("s9", material, data)...)

	if err := os.WriteFile(filepath.Join(data, "node.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.refuse(t, api.Conflict, 7, "node.json", server("s1", material, data)...)

	half := filepath.Join(d.scratch, "half-material")
	if err := os.CopyFS(half, os.DirFS(foreign)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(half, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	d.refuse(t, api.NotFound, 5, "ca-key.pem", server("s1", half, filepath.Join(d.scratch, "empty"))...)
	if err := os.WriteFile(filepath.Join(half, "ca-key.pem"), []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.refuse(t, api.InvalidArgument, 2, "ca-key.pem", server("s1", half, filepath.Join(d.scratch, "empty"))...)

	identity := filepath.Join(d.scratch, "half-identity")
	if err := os.CopyFS(identity, os.DirFS(filepath.Join(d.DevDir(), "nodes", "local-1", "identity"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(identity, "cell.json"), []byte(`{"cluster_id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.refuse(t, api.InvalidArgument, 2, "cell.json", "cell-agent", "--identity", identity, "--data-dir", filepath.Join(d.scratch, "cell-data"), "--data-bind", "127.0.0.1:0")
}

// testSecondCluster brings one up in another directory, and takes it down again.
func (d *door) testSecondCluster(t *testing.T) {
	second, err := harness.Up(t.Context(), binary(t), t.TempDir(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := second.Status(t.Context())
	if err != nil {
		t.Error(err)
	}
	var mine, theirs api.ProviderStatus
	d.into(t, &mine, "provider", "status", "local")
	if err := second.JSON(t.Context(), &theirs, "provider", "status", "local"); err != nil {
		t.Error(err)
	}
	if len(mine.Cells) != 3 || len(theirs.Cells) != 1 || theirs.Cells[0].SPIFFEID == mine.Cells[0].SPIFFEID {
		t.Errorf("the clusters have %d and %d cells", len(mine.Cells), len(theirs.Cells))
	}
	// The credentials of one are nothing in the other.
	said := d.exec(t, nil, "provider", "list", "--fabric", s.Schedulers[0].URL, "--timeout", "5s", "--json")
	if said.Code != 6 {
		t.Errorf("the operator of another cluster: exit %d: %s", said.Code, said.Stderr)
	}
	// Without a quorum nothing is decided; with it again, nothing that was is lost.
	var set api.GrantSet
	if err := second.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "10m"); err != nil {
		t.Error(err)
	}
	if err := second.Kill(t.Context(), "s1"); err != nil {
		t.Error(err)
	}
	said, err = second.Exec(t.Context(), nil, "lease", "request", "--provider", "local", "--mem", "64K", "--timeout", "500ms", "--json")
	if err != nil || said.Code != 8 {
		t.Errorf("without a scheduler: %v, exit %d: %s", err, said.Code, said.Stderr)
	}
	checkProblem(t, said.Stderr, api.NoLeader, "scheduler is running")
	if _, err := second.Run(t.Context(), "dev", "up", "--schedulers", "1", "--cells", "1"); err != nil {
		t.Error(err)
	}
	var held api.LeaseList
	if err := second.JSON(t.Context(), &held, "lease", "list"); err != nil || len(held.Leases) != 1 || held.Leases[0].ID != set.Leases[0].ID {
		t.Errorf("after the scheduler came back: %v, %+v", err, held.Leases)
	}
	if s, err = second.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var down struct{ Stopped []string }
		out, err := second.Run(t.Context(), "dev", "down", "--json")
		if err != nil || json.Unmarshal(out, &down) != nil {
			t.Errorf("down: %v: %s", err, out)
		}
	}
	for _, pid := range []int{s.Schedulers[0].PID, s.Cells[0].PID} {
		// One whose parent has not asked how it ended is a name and no process.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %d is still there: %s", pid, stat)
		}
	}
	u, err := url.Parse(s.Schedulers[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.DialTimeout("tcp", u.Host, time.Second); err == nil {
		_ = conn.Close()
		t.Errorf("%s still listens", u.Host)
	}
	if _, err := second.Run(t.Context(), "provider", "list"); err == nil || !strings.Contains(err.Error(), "no cluster is known") {
		t.Errorf("after down: %v", err)
	}
}

// testProviders takes cells and providers out.
func (d *door) testProviders(t *testing.T) {
	defer d.sound(t)
	grant := func(t *testing.T, flags ...string) api.Grant {
		t.Helper()
		var set api.GrantSet
		d.into(t, &set, append([]string{"lease", "request", "--provider", "local", "--tenant", "acme", "--mem", "64K"}, flags...)...)
		return set.Leases[0]
	}
	t.Run("disable", func(t *testing.T) {
		held := grant(t)
		for range 2 {
			var s api.ProviderStatus
			d.into(t, &s, "provider", "disable", "local", "--reason", "a test")
			if s.Enabled || s.RuntimeReadiness != api.ProviderDisabled {
				t.Errorf("disabled: %v, %s", s.Enabled, s.RuntimeReadiness)
			}
		}
		d.refuse(t, api.RuntimeNotReady, 4, "provider enable local", "lease", "request", "--provider", "local", "--tenant", "acme", "--mem", "64K")
		if cell := localCells(t, d)[0]; cell.Ready || cell.Readiness.CodeEnabled || !cell.Readiness.HealthyCell {
			t.Errorf("a cell of a disabled provider: %+v", cell.Readiness)
		}
		d.must(t, "lease", "renew", string(held.ID)) // new admissions only
		d.must(t, "lease", "read", string(held.ID), "--length", "1")
		for range 2 {
			d.must(t, "provider", "enable", "local")
		}
		d.must(t, "lease", "free", string(grant(t).ID))
		freeAll(t, d, "acme")
	})
	// A cell that is barred cannot be asked: its lease ends when it must have stopped on its
	// own, which takes a while, so that the other revocation goes on beside it.
	barred, drained := grant(t, "--ttl", "1s"), grant(t, "--ttl", "10m")
	for drained.CellID == barred.CellID {
		drained = grant(t, "--ttl", "10m")
	}
	now := make(chan harness.Said, 1)
	go func() {
		said, err := d.Exec(t.Context(), nil, "provider", "revoke-cell", "local", string(barred.CellID), "--now", "--yes", "--json")
		if err != nil {
			said.Code = -1
		}
		now <- said
	}()
	t.Run("revoke a cell", func(t *testing.T) {
		victim := string(drained.CellID)
		began := time.Now()
		d.must(t, "provider", "revoke-cell", "local", victim, "--grace", "1s", "--yes")
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %s", took)
		}
		isRevoked(t, d, victim)
		if l := showLease(t, d, drained.ID); l.State != api.LeaseTornDown {
			t.Errorf("its lease is %s (%s)", l.State, l.Reason)
		}
		d.must(t, "provider", "revoke-cell", "local", victim, "--yes") // twice
		isRevoked(t, d, victim)
		forEver(t, d, victim)
	})
	t.Run("revoke a cell now", func(t *testing.T) {
		victim := string(barred.CellID)
		eventually(t, 5*time.Second, func() string {
			if c := cellOf(t, d, "local", victim); c.State != api.CellRevoked || c.Readiness.HealthyCell {
				return fmt.Sprintf("%s is %s", victim, c.State)
			}
			return ""
		})
		forEver(t, d, victim)
		if said := <-now; said.Code != 0 {
			t.Errorf("exit %d: %s", said.Code, said.Stderr)
		}
		isRevoked(t, d, victim)
		if l := showLease(t, d, barred.ID); l.State != api.LeaseFailedClosed {
			t.Errorf("the lease of a cell that is barred is %s (%s)", l.State, l.Reason)
		}
	})
	t.Run("what is left", func(t *testing.T) {
		var list api.ProviderList
		d.into(t, &list, "provider", "list")
		for _, p := range list.Providers {
			if p.Provider == "local" && (p.RuntimeReadiness != api.ProviderReady || p.CellsReady != 1) {
				t.Errorf("with one good cell left: %s, %d ready", p.RuntimeReadiness, p.CellsReady)
			}
		}
		if err := reach(t, d, grant(t)); err != nil {
			t.Error(err)
		}
		freeAll(t, d, "acme")
	})
}

// forEver tries what a revoked cell might: neither its certificate nor a new one registers,
// and no token helps.
func forEver(t *testing.T, d *door, victim string) {
	t.Helper()
	again := newFakeCell(t, d, "local", victim)
	if _, err := again.Register(t.Context(), again.request()); api.KindOf(err) != api.IdentityRevoked {
		t.Errorf("it registers again: %v", err)
	}
	token := filepath.Join(d.scratch, "token-"+victim)
	if err := os.WriteFile(token, []byte(mintFor(t, d, "local")), 0o600); err != nil {
		t.Fatal(err)
	}
	d.refuse(t, api.IdentityRevoked, 6, "new cell id", "cloud", "bootstrap-cell", "--provider", "local", "--cell-id", victim,
		"--token-file", token, "--scheduler", d.urls[0], "--dir", filepath.Join(d.scratch, "again-"+victim))
}

func isRevoked(t *testing.T, d *door, cell string) {
	t.Helper()
	c := cellOf(t, d, "local", cell)
	if c.State != api.CellRevoked || c.Ready || c.Readiness.HealthyCell || c.Leases != 0 {
		t.Errorf("%s is %s, healthy %v, with %d leases", cell, c.State, c.Readiness.HealthyCell, c.Leases)
	}
}
