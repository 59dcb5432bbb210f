package store

import (
	"context"
	"sync"
	"time"
)

// watchdog reports disk operations that do not end. A hung disk keeps a Raft leader leading
// for ever, because its heartbeats need no disk; whoever owns the log must be told while the
// operation still hangs, not when it is over.
type watchdog struct {
	after time.Duration           // first report; then every quarter of it
	now   func() time.Time        //
	stall func(age time.Duration) // called from run's goroutine only

	mu      sync.Mutex
	next    uint64
	pending map[uint64]time.Time // guarded by mu: operations that began and did not end
}

func newWatchdog(after time.Duration, now func() time.Time, stall func(time.Duration)) *watchdog {
	return &watchdog{after: after, now: now, stall: stall, pending: map[uint64]time.Time{}}
}

// begin notes an operation; the returned function ends it.
func (w *watchdog) begin() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.next
	w.next++
	w.pending[id] = w.now()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pending, id)
	}
}

// oldest returns for how long the oldest pending operation has been pending.
func (w *watchdog) oldest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, age := w.now(), time.Duration(0)
	for _, began := range w.pending {
		age = max(age, now.Sub(began))
	}
	return age
}

// run reports until ctx ends.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(max(w.after/4, time.Millisecond))
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
