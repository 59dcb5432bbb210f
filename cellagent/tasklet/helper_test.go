package tasklet

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// TestMain lets the test binary be a worker, and an agent that can be stopped and killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "tasklet-worker":
			os.Exit(Worker(context.Background(), os.Args[2:]))
		case "test-liar":
			os.Exit(lie(os.Args[2]))
		case "test-escape":
			os.Exit(escape(os.Args[2:]))
		case "test-agent":
			os.Exit(testAgent(os.Args[2:]))
		}
	}
	os.Exit(runTests(m))
}

// buildDir holds what tests build; runTests makes and removes it.
var buildDir string

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "grafos-tasklet-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	buildDir = dir
	return m.Run()
}

type built struct {
	path   string
	digest api.Digest
	err    error
}

// buildGuest builds testdata/guest once.
var buildGuest = sync.OnceValue(func() built {
	out := filepath.Join(buildDir, "guest.wasm")
	cmd := exec.Command("go", "build", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return built{err: fmt.Errorf("build guest: %w\n%s", err, text)}
	}
	return measure(out)
})

func measure(path string) built {
	b, err := os.ReadFile(path)
	return built{path, api.DigestOf(sha256.Sum256(b)), err}
}

// guestJob is a job of the guest with ten seconds to live.
func guestJob(t *testing.T, args ...string) work.Job {
	t.Helper()
	g := buildGuest()
	if g.err != nil {
		t.Fatal(g.err)
	}
	return job(g, args...)
}

func job(b built, args ...string) work.Job {
	return work.Job{
		Run: "r1", Tenant: "acme", Name: "guest", Module: b.digest, ModulePath: b.path, Args: args,
		Memory: 64 << 20, Deadline: BootTime() + int64(60*time.Second),
	}
}

// moduleJob is a job of a module given as bytes.
func moduleJob(t *testing.T, module []byte) work.Job {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	return job(measure(path))
}

// open opens a Runner that the test closes.
func open(t *testing.T, change ...func(*Config)) *Runner {
	t.Helper()
	c := testConfig(t.TempDir())
	for _, f := range change {
		f(&c)
	}
	r, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func testConfig(dir string) Config {
	return Config{
		Exe: workerExe(), Dir: filepath.Join(dir, "cache"), Log: hclog.NewNullLogger(), MaxWorkers: 4, Idle: time.Minute,
	}
}
