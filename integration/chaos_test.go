package integration

import (
	"context"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// rounds is how often the leader is killed: GRAFOS_CHAOS_ROUNDS, or 25.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("GRAFOS_CHAOS_ROUNDS")
	if text == "" {
		return 25
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("GRAFOS_CHAOS_ROUNDS is %q: it must be a number above zero", text)
	}
	return n
}

// TestChaos kills the leader with kill -9 again and again under concurrent lease requests
// and runs, kills and stops cells in between, and holds everything that the clients were
// told against the state and the audit chain of every scheduler.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes; run it without -short")
	}
	c := up(t, 3)
	w := newWorkload(t, c)
	stop := w.start(t.Context())
	defer stop()

	var gaps []time.Duration
	for round := range rounds(t) {
		gaps = append(gaps, killLeader(t, c, w))
		switch round % 5 {
		case 2:
			disturb(t, c, "local-2", "KILL")
		case 4:
			disturb(t, c, "local-3", "STOP")
		}
		if len(w.history.faults) > 0 {
			break
		}
	}
	stop()
	slices.Sort(gaps)
	t.Logf("%d leaders killed; from kill -9 to the next acknowledged lease: median %s, longest %s",
		len(gaps), gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
	settle(t.Context(), t, w)
	checkPromises(t.Context(), t, c, w)
}

// killLeader kills the leader, waits for the next acknowledged grant and brings the node
// back. It returns how long the gap was.
func killLeader(t *testing.T, c *harness.Cluster, w *workload) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := syscall.Kill(leader.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.history.next():
	case <-ctx.Done():
		t.Fatalf("no lease was acknowledged within a minute of the kill of %s", leader.Name)
	}
	gap := time.Since(began)
	if err := c.Restart(ctx, leader.Name); err != nil {
		t.Fatal(err)
	}
	return gap
}

// disturb kills or stops a cell for longer than its heartbeat limit and brings it back.
func disturb(t *testing.T, c *harness.Cluster, cell, signal string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Signal(ctx, cell, signal); err != nil {
		t.Fatal(err)
	}
	waitUnready(t, c, cell)
	if signal == "STOP" {
		if err := c.Signal(ctx, cell, "CONT"); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := c.Restart(ctx, cell); err != nil {
		t.Fatal(err)
	}
}

// waitUnready waits until the schedulers no longer hold a cell for ready.
func waitUnready(t *testing.T, c *harness.Cluster, cell string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		s, err := c.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Cells, func(n harness.Cell) bool { return n.Name == cell })
		if !s.Cells[i].Ready {
			return
		}
		if err := harness.Pause(ctx, 50*time.Millisecond); err != nil {
			t.Fatalf("cell %s is still ready", cell)
		}
	}
}
