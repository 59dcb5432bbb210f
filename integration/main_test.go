package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// built is the program under test, built once for all tests that start processes.
var built = harness.Program{Package: "../cmd/grafos"}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := built.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// binary returns the program as it is released: pure Go, stripped.
func binary(t *testing.T) string {
	t.Helper()
	path, err := built.Path()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// guest compiles a program of testdata for wasip1.
func guest(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	if err := harness.Build(t.Context(), out, "./testdata/"+name, "GOOS=wasip1", "GOARCH=wasm"); err != nil {
		t.Fatal(err)
	}
	return out
}

// up starts a cluster of three schedulers for one test and takes it down with it.
func up(t *testing.T, cells int) *harness.Cluster {
	t.Helper()
	return upWith(t, "--schedulers", "3", "--cells", fmt.Sprint(cells))
}

// upWith is up with these flags of dev up.
func upWith(t *testing.T, args ...string) *harness.Cluster {
	t.Helper()
	c, err := harness.UpWith(t.Context(), binary(t), t.TempDir(), args...)
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
