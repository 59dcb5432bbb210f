package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// spoil changes a byte in every entry of a stopped scheduler's log.
func spoil(t *testing.T, c *harness.Cluster, name string) {
	t.Helper()
	file := filepath.Join(c.DevDir(), "nodes", name, "raft", "raft.db")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	word := []byte("wall_ms") // a field of every entry
	if !bytes.Contains(b, word) {
		t.Fatalf("there is no %q in %s", word, file)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(b, word, []byte("wall_mz")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: a scheduler whose log was changed on the disk says so, and is a member with a
// vote again a moment later, under another id; the damaged data is kept. The last one that has
// the data keeps it where it is and stops.
func TestDamage(t *testing.T) {
	c := up(t, 1)
	if _, err := c.Run(t.Context(), "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "10m"); err != nil {
		t.Fatal(err)
	}
	hurt := followerOf(t, c).Name
	was := nodeID(t, c, hurt)
	if err := c.Kill(t.Context(), hurt); err != nil {
		t.Fatal(err)
	}
	spoil(t, c, hurt)
	began := time.Now()
	if err := c.Restart(t.Context(), hurt); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, c, "s1 s2 s3")
	t.Logf("a voter again %s after it was started on a damaged log", time.Since(began).Round(time.Millisecond))
	if is := nodeID(t, c, hurt); is == was {
		t.Errorf("it is still %s", is)
	}
	kept, err := filepath.Glob(filepath.Join(c.DevDir(), "nodes", hurt, "raft.damaged-*", "raft.db"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept aside: %v, %v", kept, err)
	}
	checkAgreement(t, c)

	// The other two are gone, and this one is damaged again: it might be the last.
	for _, name := range []string{"s1", "s2", "s3"} {
		if err := c.Kill(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	last := "s1"
	if hurt == last {
		last = "s2"
	}
	spoil(t, c, last)
	was = nodeID(t, c, last)
	args := devArgs(t, c, last)
	said, err := c.Exec(t.Context(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"is corrupt", "nothing was set aside", "last copy"} {
		if said.Code != 1 || !strings.Contains(string(said.Stderr), want) {
			t.Errorf("exit %d, %q is not said: %s", said.Code, want, said.Stderr)
		}
	}
	said, err = c.Exec(t.Context(), nil, append(args, "--on-damage", "stop")...)
	if err != nil || said.Code != 1 || !strings.Contains(string(said.Stderr), "--on-damage rejoin") {
		t.Errorf("%v, exit %d: %s", err, said.Code, said.Stderr)
	}
	again := []string{"operator", "recover", "--yes", "--data-dir", filepath.Join(c.DevDir(), "nodes", last), "--material", filepath.Join(c.DevDir(), "material")}
	refuse(t, c, api.DigestMismatch, 2, again...)
	refuse(t, c, api.DigestMismatch, 2, append(again, "--dry-run")...)
	if is := nodeID(t, c, last); is != was {
		t.Errorf("it was %s and is %s", was, is)
	}
	if _, err := os.Stat(filepath.Join(c.DevDir(), "nodes", last, "raft", "raft.db")); err != nil {
		t.Error(err)
	}
}

// devArgs is how a node of a dev cluster is started.
func devArgs(t *testing.T, c *harness.Cluster, node string) []string {
	t.Helper()
	return (&door{Cluster: c}).argsOf(t, node)
}
