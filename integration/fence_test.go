package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// agent is a cell agent that a test starts itself, with flags that dev up does not give.
type agent struct {
	t   *testing.T
	cmd *exec.Cmd
	log string // its file
}

func startAgent(t *testing.T, c *harness.Cluster, cell string, env []string, args ...string) *agent {
	t.Helper()
	node := filepath.Join(c.DevDir(), "nodes", cell)
	log, err := os.CreateTemp(t.TempDir(), "agent-*.log")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, log: log.Name()}
	a.cmd = exec.CommandContext(t.Context(), binary(t), append([]string{
		"cell-agent", "--identity", filepath.Join(node, "identity"), "--data-dir", filepath.Join(node, "data"), "--data-bind", "127.0.0.1:0",
	}, args...)...)
	a.cmd.Env = append(os.Environ(), env...)
	a.cmd.Stderr = log
	if err := errors.Join(a.cmd.Start(), log.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.kill)
	return a
}

// kill is kill -9.
func (a *agent) kill() {
	if a.cmd.ProcessState == nil {
		_ = a.cmd.Process.Kill() // it may have ended by itself
		_ = a.cmd.Wait()         // it was killed
	}
}

// stop asks it to end, and waits.
func (a *agent) stop() {
	a.t.Helper()
	if err := errors.Join(a.cmd.Process.Signal(syscall.SIGTERM), a.cmd.Wait()); err != nil {
		a.t.Errorf("the agent does not end well: %v\n%s", err, a.said())
	}
}

// said is what is in its log.
func (a *agent) said() string {
	a.t.Helper()
	log, err := os.ReadFile(a.log)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(log)
}

// TestFenceSurvives: a teardown that fails fences the lease; the fence outlives the cell, all
// schedulers and a change of leaders, is counted all the time, also by the cell, and an operator
// clears it.
func TestFenceSurvives(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := up(t, 1)
	ctx := t.Context()
	if err := c.Kill(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	refused := startAgent(t, c, "local-1", nil, "--test-faults", "teardown-fails:cpu:1")
	if err := refused.cmd.Wait(); err == nil || !strings.Contains(refused.said(), "GRAFOS_TEST_FAULTS=1") {
		t.Fatalf("faults without the environment: %v, %s", err, refused.said())
	}
	faulty := startAgent(t, c, "local-1", []string{"GRAFOS_TEST_FAULTS=1"}, "--test-faults", "teardown-fails:cpu:1")
	cores, lease := int64(0), api.Grant{}
	eventually(t, 30*time.Second, func() string {
		said, err := requestCPU(ctx, c, 600, "1s")
		if err != nil || said.Code != 0 {
			return string(said.Stderr)
		}
		var set api.GrantSet
		if err := json.Unmarshal(said.Stdout, &set); err != nil {
			t.Fatal(err)
		}
		lease = set.Leases[0]
		return ""
	})
	cores = capacityOf(t, c).CPU
	fenced := func(when string) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			var list api.LeaseList
			if err := c.JSON(ctx, &list, "admin", "list-fenced-leases"); err != nil {
				return err.Error()
			}
			if len(list.Leases) != 1 || list.Leases[0].ID != lease.ID || list.Leases[0].Amount != 600 || !strings.Contains(list.Leases[0].Reason, "expired") {
				return fmt.Sprintf("%s: fenced are %+v", when, list.Leases)
			}
			return ""
		})
	}
	fenced("after the teardown failed")
	if !strings.Contains(faulty.said(), "FAILS ON PURPOSE") {
		t.Error("the agent does not say that it fails on purpose")
	}
	counted := func(when string) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			said, err := requestCPU(ctx, c, cores, "5s")
			switch {
			case err != nil:
				return err.Error()
			case said.Code == 0:
				t.Fatalf("%s: all of the cell was given, what is fenced too", when)
			case !strings.Contains(string(said.Stderr), string(api.NoEligibleProviderCells)) || !strings.Contains(string(said.Stderr), `"full"`):
				return when + ": " + string(said.Stderr)
			}
			return ""
		})
	}
	counted("after the teardown failed")

	faulty.kill()
	again := startAgent(t, c, "local-1", nil)
	eventually(t, 20*time.Second, func() string {
		if said := again.said(); !strings.Contains(said, "fenced, as before") {
			return "the agent that comes after it says " + said
		}
		return ""
	})
	again.stop() // a fence from before is no failure of its end
	if !strings.Contains(again.said(), "lease stays fenced") {
		t.Errorf("the agent ends without a word of the fence: %s", again.said())
	}
	if err := c.Restart(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	fenced("after a restart of the cell")
	log, err := os.ReadFile(filepath.Join(c.DevDir(), "logs", "local-1.log"))
	if err != nil || !strings.Contains(string(log), "fenced, as before") {
		t.Errorf("the new agent does not know of the fence: %v", err)
	}
	counted("after a restart of the cell")

	for _, s := range []string{"s1", "s2", "s3"} {
		if err := c.Kill(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Run(ctx, "dev", "up", "--schedulers", "3", "--cells", "1"); err != nil {
		t.Fatal(err)
	}
	fenced("after a restart of all schedulers")
	if _, err := c.Run(ctx, "operator", "raft", "transfer"); err != nil {
		t.Fatal(err)
	}
	fenced("after a change of leaders")
	counted("after a change of leaders")

	if _, err := c.Run(ctx, "admin", "unfence-lease", string(lease.ID), "--yes"); err != nil {
		t.Fatal(err)
	}
	// The cell has to have given it back too, for all of it to be bound.
	eventually(t, 20*time.Second, func() string {
		said, err := requestCPU(ctx, c, cores, "5s")
		if err != nil || said.Code != 0 {
			return "after the fence was cleared: " + string(said.Stderr)
		}
		return ""
	})
}

func requestCPU(ctx context.Context, c *harness.Cluster, milli int64, ttl string) (harness.Said, error) {
	return c.Exec(ctx, nil, "lease", "request", "--provider", "local", "--cpu", strconv.FormatInt(milli, 10), "--ttl", ttl, "--json")
}

// capacityOf is what may be leased of the one cell of a cluster.
func capacityOf(t *testing.T, c *harness.Cluster) api.Resources {
	t.Helper()
	cl, err := c.Client(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }() // nothing is under way
	list, err := cl.ListCells(t.Context(), "local", api.ReadOptions{})
	if err != nil || len(list.Cells) != 1 {
		t.Fatalf("list cells: %+v, %v", list, err)
	}
	return list.Cells[0].Capacity
}
