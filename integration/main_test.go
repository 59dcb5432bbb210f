package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// built is the program under test, built once for all tests that start processes.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// binary returns the program as it is released: pure Go, stripped.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "grafos-test-"); built.err == nil { //nolint:usetesting // it outlives the first test
			built.err = build(context.Background(), filepath.Join(built.dir, "grafos"), "../cmd/grafos", "CGO_ENABLED=0")
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "grafos")
}

// guest compiles a program of testdata for wasip1.
func guest(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	if err := build(t.Context(), out, "./testdata/"+name, "GOOS=wasip1", "GOARCH=wasm"); err != nil {
		t.Fatal(err)
	}
	return out
}

func build(ctx context.Context, out, pkg string, env ...string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(cmd.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, text)
	}
	return nil
}

// up starts a cluster of three schedulers for one test and takes it down with it.
func up(t *testing.T, cells int) *harness.Cluster {
	t.Helper()
	c, err := harness.Up(t.Context(), binary(t), t.TempDir(), 3, cells)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}
