package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every thread of a scheduler, Go's monitor among them, may be woken a little late, and none so
// late that a timer of a scheduler notices (docs/performance.md).
func TestSchedulersAreWokenLate(t *testing.T) {
	c := up(t, 1)
	leader, err := c.Leader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(leader.PID), "task", "*"))
	if err != nil || len(threads) < 2 {
		t.Fatalf("the threads of %s are %v: %v", leader.Name, threads, err)
	}
	for _, thread := range threads {
		b, err := os.ReadFile(filepath.Join("/proc", filepath.Base(thread), "timerslack_ns"))
		if errors.Is(err, fs.ErrPermission) {
			t.Skip("only root reads the timer slack of another process")
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		slack, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || time.Duration(slack) != 500*time.Microsecond {
			t.Errorf("thread %s of %s has a timer slack of %d ns (%v), want 500 us", filepath.Base(thread), leader.Name, slack, err)
		}
	}
}
