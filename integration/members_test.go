package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// raftMembers is operator raft list.
func raftMembers(t *testing.T, c *harness.Cluster) api.RaftMembers {
	t.Helper()
	var list api.RaftMembers
	if err := c.JSON(t.Context(), &list, "operator", "raft", "list"); err != nil {
		t.Fatal(err)
	}
	return list
}

// wantGroup waits until the members, by name, are those of one of want ("(s4) s1 s2", in brackets
// who has no vote), all healthy, and returns them.
func wantGroup(t *testing.T, c *harness.Cluster, want ...string) api.RaftMembers {
	t.Helper()
	var list api.RaftMembers
	eventually(t, 30*time.Second, func() string {
		if err := c.JSON(t.Context(), &list, "operator", "raft", "list"); err != nil {
			return err.Error()
		}
		var names []string
		for _, m := range list.Members {
			name := m.Name
			if !m.Voter {
				name = "(" + name + ")"
			}
			if !m.Healthy {
				name += "!"
			}
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); !slices.Contains(want, got) {
			return "the members are " + got + ", want " + strings.Join(want, ", or ")
		}
		return ""
	})
	return list
}

// followerOf names a scheduler that does not lead.
func followerOf(t *testing.T, c *harness.Cluster) harness.Scheduler {
	t.Helper()
	if _, err := c.Leader(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Schedulers {
		if n.Role == "follower" {
			return n
		}
	}
	t.Fatal("there is no follower")
	return harness.Scheduler{}
}

// nodeID is the id of a scheduler's data directory.
func nodeID(t *testing.T, c *harness.Cluster, name string) api.NodeID {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.DevDir(), "nodes", name, "node.json"))
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Node api.NodeID `json:"node_id"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o.Node
}

// TestLostDisk takes a scheduler's disk away under load: it comes back under another id, holds
// everything before it votes, and nothing that was acknowledged is missing anywhere.
func TestLostDisk(t *testing.T) {
	c := up(t, 2)
	w := newWorkload(t, c)
	stop := w.start(t.Context())
	defer stop()
	for range 20 {
		<-w.history.next()
	}
	lost := followerOf(t, c)
	for _, part := range []string{"", "raft"} { // all of it, and what was mounted there
		was := nodeID(t, c, lost.Name)
		if err := c.Kill(t.Context(), lost.Name); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(c.DevDir(), "nodes", lost.Name, part)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := c.Restart(t.Context(), lost.Name); err != nil {
			t.Fatal(err)
		}
		list := wantGroup(t, c, "s1 s2 s3")
		t.Logf("a voter again %s after it was started without its %q", time.Since(began).Round(time.Millisecond), part)
		if is := nodeID(t, c, lost.Name); is == was || !slices.ContainsFunc(list.Members, func(m api.RaftMember) bool { return m.Node == is }) {
			t.Errorf("it was %s, is %s, and the members are %+v", was, is, list.Members)
		}
	}
	stop()
	settle(t.Context(), t, w)
	checkPromises(t.Context(), t, c, w)
	checkBlobs(t, c, lost.Name)
}

// checkBlobs: a scheduler has every blob that the others have. One that a quorum took while it was
// away, and after it looked what it missed, it finds when it looks again: after half a minute.
func checkBlobs(t *testing.T, c *harness.Cluster, name string) {
	t.Helper()
	blobs := func(name string) []string {
		files, err := filepath.Glob(filepath.Join(c.DevDir(), "nodes", name, "blobs", "sha256", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			files[i] = filepath.Base(f)
		}
		return files
	}
	eventually(t, 45*time.Second, func() string {
		mine := blobs(name)
		for _, other := range []string{"s1", "s2", "s3"} {
			for _, b := range blobs(other) {
				if !slices.Contains(mine, b) {
					return fmt.Sprintf("%s lacks blob %s of %s", name, b, other)
				}
			}
		}
		return ""
	})
}

// another starts one more scheduler of a cluster, by flags, until the test ends.
func another(t *testing.T, c *harness.Cluster, name string, flags ...string) (url string) {
	t.Helper()
	url = freePort(t)
	args := append([]string{
		"server", "--name", name, "--data-dir", filepath.Join(c.DevDir(), "nodes", name), "--material", filepath.Join(c.DevDir(), "material"),
		"--bind", url, "--raft-bind", freePort(t), "--gossip-bind", freePort(t), "--join", devFlag(t, c, "s1", "--gossip-bind"),
		"--stable", "2s", "--heartbeat", "250ms", "--heartbeat-limit", "3s", "--warmup", "1s",
	}, flags...)
	startNode(t, c, name, args)
	return url
}

// devFlag returns with which value of a flag a node of a dev cluster was started.
func devFlag(t *testing.T, c *harness.Cluster, node, flag string) string {
	t.Helper()
	return (&door{Cluster: c}).flagOf(t, node, flag)
}

// TestOperatorRaft is about the commands: a spare is listed, may lead when it has a vote, and
// whoever is removed says so.
func TestOperatorRaft(t *testing.T) {
	c := up(t, 1)
	wantGroup(t, c, "s1 s2 s3")
	url := another(t, c, "s4")
	wantGroup(t, c, "(s4) s1 s2 s3")

	old, err := c.Leader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := followerOf(t, c)
	var moved api.RaftTransfer
	if err := c.JSON(t.Context(), &moved, "operator", "raft", "transfer", next.Name); err != nil {
		t.Fatal(err)
	}
	if moved.From != nodeID(t, c, old.Name) || moved.To != nodeID(t, c, next.Name) {
		t.Errorf("moved from %s to %s: %+v", old.Name, next.Name, moved)
	}
	if now, err := c.Leader(t.Context()); err != nil || now.Name != next.Name {
		t.Errorf("%s leads (%v), not %s", now.Name, err, next.Name)
	}
	refuse(t, c, api.NotFound, 5, "operator", "raft", "transfer", "s4")
	// Without a name a dry run says whom it would be; under a key it is handed over once.
	var would, first, second api.RaftTransfer
	if err := c.JSON(t.Context(), &would, "operator", "raft", "transfer", "--dry-run"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []*api.RaftTransfer{&first, &second} {
		if err := c.JSON(t.Context(), to, "operator", "raft", "transfer", "--idempotency-key", "hand-over"); err != nil {
			t.Fatal(err)
		}
	}
	if would.To == "" || would.To == would.From || first.From != would.From || first.To == "" || !second.Repeated || second.To != first.To {
		t.Errorf("a dry run says %+v, the first %+v, the second %+v", would, first, second)
	}
	refuse(t, c, api.NotFound, 5, "operator", "raft", "remove", "s9", "--yes")
	refuse(t, c, api.InvalidArgument, 2, "operator", "raft", "remove", "s4")

	// Without s1 and s2 only s3 would be left of two voters.
	if err := c.Kill(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		for _, m := range raftMembers(t, c).Members {
			if m.Name == "s1" && m.Healthy {
				return "s1 is still healthy"
			}
		}
		return ""
	})
	wantGroup(t, c, "s2 s3 s4") // the spare stands in, and s1 is removed
	if err := c.Kill(t.Context(), "s2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		for _, m := range raftMembers(t, c).Members {
			if m.Name == "s2" && m.Healthy {
				return "s2 is still healthy"
			}
		}
		return ""
	})
	refuse(t, c, api.Conflict, 7, "operator", "raft", "remove", "s4", "--yes")
	for _, name := range []string{"s2", "s1"} {
		if err := c.Restart(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	// s1 was away when it was removed, and asks again. It is the spare now, unless it had s2's vote
	// before s2 was well again: then one of the four lost its own.
	wantGroup(t, c, "(s1) s2 s3 s4", "(s2) s1 s3 s4", "(s3) s1 s2 s4", "(s4) s1 s2 s3")
	// One that has come back has its vote before it has caught up and is healthy.
	eventually(t, 20*time.Second, func() string {
		for _, m := range raftMembers(t, c).Members {
			if !m.Healthy {
				return m.Name + " is not healthy yet"
			}
		}
		return ""
	})

	if _, err := c.Run(t.Context(), "operator", "raft", "remove", "s4", "--reason", "back to three", "--yes"); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, c, "s1 s2 s3")
	one, err := c.ClientAs(filepath.Join(c.DevDir(), "operator"), 2*time.Second, "https://"+url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = one.Close() }()
	eventually(t, 10*time.Second, func() string {
		_, err := one.ListLeases(t.Context(), api.LeaseFilter{}, api.ReadOptions{Consistency: api.Stale})
		if api.KindOf(err) != api.SchedulerRemoved || !strings.Contains(err.Error(), " was removed from the cluster by operator/") || !strings.Contains(err.Error(), ": back to three") {
			return fmt.Sprintf("s4 answers: %v", err)
		}
		return ""
	})
	st, err := one.NodeState(t.Context())
	if err != nil || st.Ready || st.Removed == nil || !strings.Contains(st.NotReady, "was removed") {
		t.Errorf("s4 says of itself: %+v, %v", st, err)
	}
	checkAgreement(t, c)
}

// refuse runs a command that ends with a problem of a kind.
func refuse(t *testing.T, c *harness.Cluster, kind api.Kind, code int, args ...string) {
	t.Helper()
	said, err := c.Exec(t.Context(), nil, append(args, "--json")...)
	if err != nil {
		t.Fatal(err)
	}
	var p api.Error
	if err := json.Unmarshal(said.Stderr, &p); err != nil || p.Kind != kind || said.Code != code {
		t.Errorf("grafos %v: exit %d, %s, want %d, %s", args, said.Code, said.Stderr, code, kind)
	}
	if p.Status == http.StatusInternalServerError {
		t.Errorf("grafos %v: %s", args, said.Stderr)
	}
}
