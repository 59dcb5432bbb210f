package work

import "sync"

// Word is what a run is told while it runs: that its deadline moved, and that its end was
// announced. Both are CLOCK_BOOTTIME nanoseconds. It is safe for concurrent use.
type Word struct {
	mu       sync.Mutex
	deadline int64
	warned   int64
	changed  chan struct{} // closed when something changes, and then another one
}

// NewWord begins with the deadline that a run has.
func NewWord(deadline int64) *Word { return &Word{deadline: deadline, changed: make(chan struct{})} }

// Now returns the deadline, when the run is to be forced down (0 while nothing was announced), and
// what is closed when one of them changes.
func (w *Word) Now() (deadline, warned int64, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deadline, w.warned, w.changed
}

// Extend moves the deadline; never to an earlier time.
func (w *Word) Extend(deadline int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if deadline > w.deadline {
		w.deadline = deadline
		w.tell()
	}
}

// Warn announces the end of the run; an announced end only comes nearer.
func (w *Word) Warn(at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at = max(at, 1); w.warned == 0 || at < w.warned {
		w.warned = at
		w.tell()
	}
}

func (w *Word) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}
