package integration

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// TestAuditSyncFails: a scheduler whose disk refuses an fsync of the audit chain ends, and says
// of which file. The others go on.
func TestAuditSyncFails(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "strace", "-qq", "-e", "trace=none", "true").CombinedOutput(); err != nil {
		t.Skipf("skipped: strace does not work here: %v: %s", err, out)
	}
	c := up(t, 1)
	name := followerOf(t, c).Name
	if err := c.Kill(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(c.DevDir(), "nodes", name, "audit", "audit-*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	ended, said := traced(t, c, name, "-P", segments[0], "-e", "inject=fsync,fdatasync:error=EIO")
	url := urlOf(t, c, name)
	eventually(t, 20*time.Second, func() string { // a snapshot waits for the audit chain
		select {
		case <-ended:
			return ""
		default:
		}
		// Something new, or there is no snapshot to take.
		if _, err := c.Run(t.Context(), "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "10m"); err != nil {
			return err.Error()
		}
		_, _ = c.Exec(t.Context(), nil, "operator", "snapshot", "save", "--stale", "--fabric", url, "--timeout", "2s", filepath.Join(c.Dir(), "state"))
		return "it runs"
	})
	for _, want := range []string{filepath.Base(segments[0]), "input/output error", "must stop"} {
		if !strings.Contains(said(), want) {
			t.Errorf("%q is not said:\n%s", want, said())
		}
	}
	if _, err := c.Run(t.Context(), "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "10m"); err != nil {
		t.Error(err)
	}
}

// traced starts a scheduler of a dev cluster under strace. ended is closed when it has ended;
// said is what it wrote, from then on.
func traced(t *testing.T, c *harness.Cluster, name string, how ...string) (ended <-chan struct{}, said func() string) {
	t.Helper()
	args := append([]string{"-f", "-qq", "-o", os.DevNull}, how...)
	args = append(append(args, binary(t)), devArgs(t, c, name)...)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "strace", args...)
	var out bytes.Buffer
	cmd.Stderr = &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // strace ends what it traces
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := cmd.Wait(); err != nil {
			if _, exited := errors.AsType[*exec.ExitError](err); !exited {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return done, func() string {
		<-done
		return out.String()
	}
}

// urlOf is where a scheduler of a dev cluster answers.
func urlOf(t *testing.T, c *harness.Cluster, name string) string {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Schedulers {
		if n.Name == name {
			return n.URL
		}
	}
	t.Fatalf("there is no scheduler %s", name)
	return ""
}
