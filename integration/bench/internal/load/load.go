// Package load keeps operations going against a system and says what it measured: how many
// ended in a window of time, and how long each took.
package load

import (
	"context"
	"sync"
	"time"
)

// Spec says how a load is made.
type Spec struct {
	// Outstanding is how many operations wait at a time.
	Outstanding int
	// Warm comes before Window and is not measured.
	Warm, Window time.Duration
}

// Run is what one load measured.
type Run struct {
	// Took are the latencies of the operations that ended well in the window.
	Took   []time.Duration
	Window time.Duration
	// Each is how many things one operation did; 0 is 1.
	Each int
	// Done counts every operation that ended well, in the window or not.
	Done int
	// Failed counts the others; First is the first failure.
	Failed int
	First  error
}

// PerSecond is how many things were done in a second of the window.
func (r Run) PerSecond() float64 {
	if r.Window <= 0 {
		return 0
	}
	return float64(len(r.Took)*max(r.Each, 1)) / r.Window.Seconds()
}

// afterFailure is how long a worker waits when its operation failed.
const afterFailure = 10 * time.Millisecond

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// slack is how much longer than its time the operations of a load may take.
const slack = 30 * time.Second

// Do makes a load of op, which is told which worker runs it and for which time. Every
// worker has one operation outstanding.
func Do(ctx context.Context, s Spec, op func(ctx context.Context, worker, n int) error) Run {
	ctx, cancel := context.WithTimeout(ctx, s.Warm+s.Window+slack)
	defer cancel()
	began := time.Now()
	runs := make([]Run, s.Outstanding)
	var wg sync.WaitGroup
	for w := range runs {
		wg.Go(func() { runs[w] = work(ctx, s, began, w, op) })
	}
	wg.Wait()
	sum := Run{Window: s.Window}
	for _, r := range runs {
		sum.Took = append(sum.Took, r.Took...)
		sum.Done += r.Done
		sum.Failed += r.Failed
		if sum.First == nil {
			sum.First = r.First
		}
	}
	return sum
}

func work(ctx context.Context, s Spec, began time.Time, w int, op func(ctx context.Context, worker, n int) error) Run {
	var r Run
	for n := 0; time.Since(began) < s.Warm+s.Window && ctx.Err() == nil; n++ {
		at := time.Now()
		err := op(ctx, w, n)
		end := time.Since(began)
		switch {
		case err != nil:
			if r.Failed++; r.First == nil {
				r.First = err
			}
			wait(ctx, afterFailure) // a system that refuses is not to be drowned in questions
			continue
		case end >= s.Warm && end < s.Warm+s.Window:
			r.Took = append(r.Took, time.Since(at))
		}
		r.Done++
	}
	return r
}
