package tasklet

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

func TestParseMounts(t *testing.T) {
	got := parseMounts(`25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
nonsense
`)
	want := map[string]string{"": "/sys/fs/cgroup/unified", "cpu": "/sys/fs/cgroup/cpu,cpuacct", "memory": "/sys/fs/cgroup/memory"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%q is at %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	own := parseOwnGroups("4:memory:/a/b\n2:cpu,cpuacct:/\n0::/user.slice\nx\n")
	if own["memory"] != "/a/b" || own["cpu"] != "/" || own[""] != "/user.slice" {
		t.Errorf("own groups are %v", own)
	}
}

// groupRoot makes a group for this test where the host lets it, in every v1 hierarchy.
func groupRoot(t *testing.T) string {
	t.Helper()
	name := "grafos-tasklet-test"
	mounts := readMounts()
	for _, controller := range []string{"cpu", "memory"} {
		dir := filepath.Join(mounts[controller], name)
		if mounts[controller] == "" || (os.Mkdir(dir, 0o755) != nil && unix.Access(dir, unix.W_OK) != nil) {
			t.Skipf("no control group %s can be made here", controller)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Errorf("group is not empty after Close: %v", err)
			}
		})
	}
	return name
}

// TestGroups proves that workers live in groups with their run's weight and bound, that the
// kernel's kill for want of memory is told apart, and that no group is left.
func TestGroups(t *testing.T) {
	name := groupRoot(t)
	r, err := Open(t.Context(), func() Config {
		c := testConfig(t.TempDir())
		c.Cgroup = name
		c.Overhead = 24 << 20
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for _, want := range []string{"cgroup_v1_cpu", "cgroup_v1_memory"} {
		if !slices.Contains(r.Isolation(), want) {
			t.Fatalf("isolation is %v, want %s", r.Isolation(), want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	loop := moduleJob(t, module{code: []byte{opLoop, void, opBr, 0, opEnd}}.bytes())
	loop.CPU = 250
	ended := make(chan work.Outcome, 1)
	go func() { ended <- r.Run(ctx, loop) }()
	await(t, "a group with the run's weight", 10*time.Second, func() bool {
		files, _ := filepath.Glob(filepath.Join(r.groups.cpu, groupPrefix+"*", "cpu.shares"))
		return len(files) == 1 && readLine(files[0]) == "256"
	})
	files, _ := filepath.Glob(filepath.Join(r.groups.memory, groupPrefix+"*", "memory.limit_in_bytes"))
	if len(files) != 1 || readLine(files[0]) == "" || strings.HasPrefix(readLine(files[0]), "9223") {
		t.Errorf("memory of the group %v is unlimited", files)
	}
	cancel()
	<-ended
	// The guest may have more than its worker can hold: the group is what says no.
	greedy := guestJob(t, "allocate")
	greedy.Memory = 512 << 20
	out := r.Run(t.Context(), greedy)
	t.Logf("%s %+v", out.State, out.Failure)
	if out.State != api.RunFailed || out.Failure.Kind != api.MemoryExceeded {
		t.Errorf("got %s %+v, want failed memory_exceeded", out.State, out.Failure)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForeignGroup proves that a group that belongs to another manager is left alone.
func TestForeignGroup(t *testing.T) {
	if mayDivide(t.TempDir(), "/some/service") && os.Geteuid() == 0 {
		t.Error("a group that is not marked as delegated is divided")
	}
	if !mayDivide(t.TempDir(), "/") {
		t.Error("the root group is not divided")
	}
}

func TestSweepCache(t *testing.T) {
	dir := t.TempDir()
	own, err := tenantCache(dir, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := tenantCache(dir, "acme"); err != nil || again != own {
		t.Errorf("again: %q %v", again, err)
	}
	if other, err := tenantCache(dir, "acme2"); err != nil || other == own {
		t.Errorf("another tenant's: %q %v", other, err)
	}
	for i, name := range []string{"old", "mid", "new"} {
		path := filepath.Join(own, name)
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweepCache(dir, 250); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(own, "*"))
	if len(left) != 2 || filepath.Base(left[0]) != "mid" || filepath.Base(left[1]) != "new" {
		t.Errorf("left are %v", left)
	}
}
