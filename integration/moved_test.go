package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// TestMovedScheduler: a scheduler that comes back with other addresses is the same member, at
// the new ones, and may lead there.
func TestMovedScheduler(t *testing.T) {
	c := up(t, 1)
	wantGroup(t, c, "s1 s2 s3")
	name := followerOf(t, c).Name
	was := nodeID(t, c, name)
	if err := c.Kill(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	args := devArgs(t, c, name)
	for _, flag := range []string{"--bind", "--raft-bind", "--gossip-bind"} {
		i := slices.Index(args, flag)
		if i < 0 {
			t.Fatalf("%s was started without %s", name, flag)
		}
		args[i+1] = freePort(t)
	}
	at := args[slices.Index(args, "--raft-bind")+1]
	startNode(t, c, name, args)
	eventually(t, 30*time.Second, func() string {
		for _, m := range raftMembers(t, c).Members {
			if m.Name == name && m.Node == was && m.Address == at && m.Voter && m.Healthy {
				return ""
			}
		}
		return "the group does not have it at " + at
	})
	eventually(t, 20*time.Second, func() string { // one that has just moved may be a little behind
		if _, err := c.Run(t.Context(), "operator", "raft", "transfer", name); err != nil {
			return err.Error()
		}
		return ""
	})
	if list := raftMembers(t, c); list.Leader != was {
		t.Errorf("%s leads, not %s", list.Leader, was)
	}
	if _, err := c.Run(t.Context(), "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "1m"); err != nil {
		t.Error(err)
	}
}

// startNode starts a process of a cluster, until the test ends.
func startNode(t *testing.T, c *harness.Cluster, name string, args []string) {
	t.Helper()
	log, err := os.Create(filepath.Join(c.DevDir(), "logs", name+".moved.log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary(t), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		_ = log.Close()
	})
}
