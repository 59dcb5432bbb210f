package cellagent

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/grafos/grafos/cellagent/tasklet"
)

// TestMain lets the test binary be a tasklet worker, and finds goroutines that tests left.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "tasklet-worker" {
		os.Exit(tasklet.Worker(context.Background(), os.Args[2:]))
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
