package chaos

import (
	"fmt"
	"os"
	"testing"

	"github.com/grafos/grafos/integration/internal/harness"
)

// built is the program under test.
var built = harness.Program{Package: "../../cmd/grafos"}

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
