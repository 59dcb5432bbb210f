package load

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestDo: only what ends well inside the window is counted, with its latency; the rest is
// counted apart.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		r := Do(t.Context(), Spec{Outstanding: 2, Warm: time.Second, Window: 10 * time.Second}, func(_ context.Context, worker, n int) error {
			time.Sleep(300 * time.Millisecond)
			if worker == 1 && n%2 == 1 {
				return broken
			}
			return nil
		})
		// The first worker ends an operation at 0.3, 0.6, ... 11.1 s, of which those at 1.2 to 10.8 s
		// are in the window; of the second one every other fails, and is waited for 10 ms.
		if len(r.Took) != 33+16 || r.Done != 37+19 || r.Failed != 18 || !errors.Is(r.First, broken) {
			t.Errorf("took %d, done %d, failed %d: %v", len(r.Took), r.Done, r.Failed, r.First)
		}
		if slices.ContainsFunc(r.Took, func(d time.Duration) bool { return d != 300*time.Millisecond }) {
			t.Errorf("latencies %v", r.Took)
		}
		if got := r.PerSecond(); got != 4.9 {
			t.Errorf("%v a second, want 4.9", got)
		}
		r.Each = 64
		if got := r.PerSecond(); got != 64*4.9 {
			t.Errorf("%v things a second, want %v", got, 64*4.9)
		}
	})
}

func TestPercentile(t *testing.T) {
	tests := []struct {
		of   []int
		p    int
		want int
	}{
		{nil, 50, 0},
		{[]int{7}, 50, 7},
		{[]int{7}, 100, 7},
		{[]int{3, 1, 2}, 50, 2},
		{[]int{4, 3, 2, 1}, 50, 3},
		{[]int{3, 1, 2}, 0, 1},
		{[]int{3, 1, 2}, 99, 3},
	}
	for _, tt := range tests {
		if got := Percentile(tt.of, tt.p); got != tt.want {
			t.Errorf("percentile %d of %v is %d, want %d", tt.p, tt.of, got, tt.want)
		}
	}
}

func TestSeries(t *testing.T) {
	run := func(n int, took time.Duration) Run {
		return Run{Window: time.Second, Took: slices.Repeat([]time.Duration{took}, n)}
	}
	s := Series{run(30, 3), run(10, 1), run(20, 2)}
	if mid, least, most := s.PerSecond(); mid != 20 || least != 10 || most != 30 {
		t.Errorf("got %v (%v to %v)", mid, least, most)
	}
	if got := s.Latency(50); got != 2 {
		t.Errorf("latency %v", got)
	}
}
