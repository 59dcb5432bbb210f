package tasklet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// escape is what a worker that was taken over would try, after the same two stages that every
// worker goes through. It prints what it could do.
func escape(args []string) int {
	if args[0] == stageConfine {
		return Worker(context.Background(), args)
	}
	lockDown()
	could := map[string]bool{}
	try := func(what string, f func() error) { could[what] = f() == nil }
	try("write the cache", func() error { return os.WriteFile(filepath.Join(args[2], "x"), []byte("x"), 0o600) })
	try("read /etc/passwd", func() error { _, err := os.ReadFile("/etc/passwd"); return err })
	try("read /proc/1/environ", func() error { _, err := os.ReadFile("/proc/1/environ"); return err })
	try("write beside the cache", func() error {
		return os.WriteFile(filepath.Join(filepath.Dir(args[2]), "y"), []byte("y"), 0o600)
	})
	try("run a program", func() error { return exec.Command("/bin/true").Run() })
	try("open a socket", func() error { c, err := net.ListenPacket("udp", "127.0.0.1:0"); _ = c; return err })
	try("signal its agent", func() error { return unix.Kill(os.Getppid(), 0) })
	try("trace its agent", func() error { return unix.PtraceAttach(os.Getppid()) })
	try("mount", func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") })
	try("raise a limit", func() error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096})
	})
	could["environment"] = len(os.Environ()) > 0
	could["inherited descriptor"] = inherited()
	if err := json.NewEncoder(os.Stdout).Encode(could); err != nil {
		return 1
	}
	return 0
}

// inherited reports whether the descriptor that the test leaves open arrived.
func inherited() bool {
	for fd := 3; fd < 64; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			return true
		}
	}
	return false
}

func TestConfinement(t *testing.T) {
	r := open(t)
	has := func(s string) bool { return slices.Contains(r.Isolation(), s) }
	landlock := slices.ContainsFunc(r.Isolation(), func(s string) bool { return len(s) > 8 && s[:8] == "landlock" })
	dir := filepath.Join(t.TempDir(), "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A descriptor that the agent was started with and knows nothing of.
	leak, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(leak) }()

	cmd := exec.Command(os.Args[0], "test-escape", stageConfine, strconv.Itoa(os.Getpid()), dir, "")
	cmd.Env = []string{}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	could := map[string]bool{}
	if err := json.Unmarshal(out, &could); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	t.Log(could)
	if !could["write the cache"] {
		t.Error("a worker cannot write its cache")
	}
	never := []string{"environment", "inherited descriptor", "raise a limit"}
	if landlock {
		never = append(never, "read /etc/passwd", "read /proc/1/environ", "write beside the cache")
	}
	if has("seccomp") {
		never = append(never, "run a program", "open a socket", "signal its agent", "trace its agent", "mount")
	}
	for _, what := range never {
		if could[what] {
			t.Errorf("a worker can: %s", what)
		}
	}
}

// TestByHand proves that the worker's command says no to a person.
func TestByHand(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {stageServe, "1", "/", ""}, {stageServe, "abc", "/", ""}, {"other", "1", "/", ""}} {
		cmd := exec.Command(os.Args[0], append([]string{"tasklet-worker"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("worker %q succeeds: %s", args, out)
		}
		if want := "tasklet worker: "; len(out) < len(want) || string(out[:len(want)]) != want {
			t.Errorf("worker %q says %q", args, out)
		}
	}
}

// TestOpenFails proves that an Open that cannot start workers says why and leaves nothing.
func TestOpenFails(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no program":    func(c *Config) { c.Exe = "/nowhere" },
		"wrong program": func(c *Config) { c.Exe = "/bin/true" },
		"relative dir":  func(c *Config) { c.Dir = "cache" },
		"no log":        func(c *Config) { c.Log = nil },
		"negative":      func(c *Config) { c.MaxWorkers = -1 },
		"unwritable":    func(c *Config) { c.Dir = "/proc/cache" },
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t.TempDir())
			change(&c)
			r, err := Open(t.Context(), c)
			if err == nil {
				_ = r.Close()
				t.Fatal("Open succeeds")
			}
			t.Log(err)
		})
	}
	if left := childrenOf(t); len(left) > 0 {
		t.Errorf("processes are left: %s", fmt.Sprint(left))
	}
}
