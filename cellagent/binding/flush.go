package binding

import "sync"

// flusher brings a file to the disk for many who wait at a time. A flush takes as long for one write
// as for all that came before it began, and the disk does one after the other: so those who come while
// one is under way share the next.
type flusher struct {
	mu   sync.Mutex
	last *flush // guarded by mu: the newest
	next *flush // guarded by mu: the newest, until it begins
}

// flush is one call for all who have joined it.
type flush struct {
	done chan struct{}
	err  error // to be read when done is closed
}

// do returns when call has run from begin to end after do was called, and what it said.
func (f *flusher) do(call func() error) error {
	f.mu.Lock()
	if shared := f.next; shared != nil {
		f.mu.Unlock()
		<-shared.done
		return shared.err
	}
	before, mine := f.last, &flush{done: make(chan struct{})}
	f.last, f.next = mine, mine
	f.mu.Unlock()
	if before != nil {
		<-before.done
	}
	f.mu.Lock()
	f.next = nil // who comes now may have written too late for this one
	f.mu.Unlock()
	mine.err = call()
	close(mine.done)
	return mine.err
}
