package store

import (
	"context"
	"sync"
	"time"
)

// watchdog reports disk operations that do not end. A hung disk keeps a Raft leader leading
// for ever, because its heartbeats need no disk; whoever owns the log must be told while the
// operation still hangs, not when it is over. A process that stood still (stopped, or starved)
// has no reason to blame its disk: the watchdog's time stands still with it.
type watchdog struct {
	after time.Duration           // first report; then every quarter of it
	now   func() time.Time        //
	stall func(age time.Duration) // called from run's goroutine only

	mu      sync.Mutex
	next    uint64
	pending map[uint64]time.Duration // guarded by mu: when operations began that did not end
	ran     time.Duration            // guarded by mu: the watchdog's time at its newest tick
	tick    time.Time                // guarded by mu: when that was
}

func newWatchdog(after time.Duration, now func() time.Time, stall func(time.Duration)) *watchdog {
	return &watchdog{after: after, now: now, stall: stall, pending: map[uint64]time.Duration{}, tick: now()}
}

// every is how often the watchdog looks.
func (w *watchdog) every() time.Duration { return max(w.after/4, time.Millisecond) }

// timeLocked is the watchdog's time. What lies between two ticks counts as two pauses at most:
// the rest of it nothing ran.
func (w *watchdog) timeLocked(now time.Time) time.Duration {
	return w.ran + min(now.Sub(w.tick), 2*w.every())
}

// begin notes an operation; the returned function ends it.
func (w *watchdog) begin() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.next
	w.next++
	w.pending[id] = w.timeLocked(w.now())
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pending, id)
	}
}

// oldest ticks, and returns for how long the oldest pending operation has been pending.
func (w *watchdog) oldest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.ran, w.tick = w.timeLocked(now), now
	age := time.Duration(0)
	for _, began := range w.pending {
		age = max(age, w.ran-began)
	}
	return age
}

// run reports until ctx ends.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(w.every())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if age := w.oldest(); age >= w.after {
				w.stall(age)
			}
		}
	}
}
