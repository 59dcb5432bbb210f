package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/internal/harness"
)

// shorten puts a certificate in a cell's identity folder that lives as long as it is told, of the key that
// is there, and returns both files as they are then.
func shorten(t *testing.T, c *harness.Cluster, dir string, life time.Duration) (cert, key []byte) {
	t.Helper()
	m, err := c.Material()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := pki.OpenKeyring(filepath.Join(dir, "cell.pem"), filepath.Join(dir, "cell-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ring.Request(false)
	if err != nil {
		t.Fatal(err)
	}
	pub, _, err := pki.ParseCSR(csr)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := m.Sign(pub, pki.CertRequest{Identity: pki.Identity{Role: api.RoleCell, Provider: "local", Cell: "local-1"}, TTL: life})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Accept(leaf, m.CAPEM); err != nil {
		t.Fatal(err)
	}
	return files(t, dir)
}

func files(t *testing.T, dir string) (cert, key []byte) {
	t.Helper()
	cert, err := os.ReadFile(filepath.Join(dir, "cell.pem"))
	if err == nil {
		key, err = os.ReadFile(filepath.Join(dir, "cell-key.pem"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// TestCellRenewsItsIdentity gives a cell a certificate of a few seconds. It is renewed with a new key while
// the cell works, whose lease and readiness do not notice; and one that ended while the agent was down
// is renewed with its own key when it comes back.
func TestCellRenewsItsIdentity(t *testing.T) {
	c := up(t, 1)
	dirs, err := filepath.Glob(filepath.Join(c.DevDir(), "nodes", "*", "identity", "cell-key.pem"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("identity folders: %v, %v", dirs, err)
	}
	dir := filepath.Dir(dirs[0])
	cell := func() api.Cell {
		t.Helper()
		var list api.CellList
		if err := c.JSON(t.Context(), &list, "fabric", "cells"); err != nil {
			t.Fatal(err)
		}
		return list.Cells[0]
	}
	stop := func() {
		t.Helper()
		if err := c.Kill(t.Context(), "local-1"); err != nil {
			t.Fatal(err)
		}
	}
	start := func() {
		t.Helper()
		if err := c.Restart(t.Context(), "local-1"); err != nil {
			t.Fatal(err)
		}
	}
	ready := func() {
		t.Helper()
		eventually(t, 15*time.Second, func() string {
			if got := cell(); !got.Ready {
				return string(got.State)
			}
			return ""
		})
	}

	stop()
	cert, key := shorten(t, c, dir, 14*time.Second)
	start()
	ready()
	before := cell()
	var set api.GrantSet
	if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "5m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if got := cell(); !got.Ready {
			t.Fatalf("the cell is %s while it is renewed: %+v", got.State, got.Reasons)
		}
		now, nowKey := files(t, dir)
		switch {
		case bytes.Equal(now, cert):
			return "it has the certificate of before"
		case bytes.Equal(nowKey, key):
			t.Fatal("renewed with the key of before")
		}
		if left := time.Until(cell().NotAfter); left < 23*time.Hour {
			return "the certificate that the schedulers know ends in " + left.String()
		}
		return ""
	})
	if err := harness.Pause(t.Context(), time.Until(before.NotAfter)+2*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := cell(); !got.Ready || got.Epoch != before.Epoch {
		t.Errorf("after the end of the old certificate the cell is %s, epoch %d, was %d", got.State, got.Epoch, before.Epoch)
	}
	if l := showLeaseOf(t, c, set.Leases[0].ID); l.State != api.LeaseActive {
		t.Errorf("its lease is %s (%s)", l.State, l.Reason)
	}

	stop()
	lapsed, own := shorten(t, c, dir, time.Second)
	if err := harness.Pause(t.Context(), 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	start()
	ready()
	if now, nowKey := files(t, dir); bytes.Equal(now, lapsed) || !bytes.Equal(nowKey, own) {
		t.Error("the certificate that had ended was not renewed with its own key")
	}
}
