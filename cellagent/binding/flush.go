package binding

import "sync"

// flusher brings a file to the disk for many who wait at a time. A flush takes as long for one write
// as for all that came before it began, and the disk does one after the other: so those who come while
// one is under way share the next.
//
// A flush that failed is the last: the kernel tells of what it could not write once and takes it for
// written from then on, so that the next flush may succeed though bytes of its writer are lost.
type flusher struct {
	mu     sync.Mutex
	last   *flush // guarded by mu: the newest
	next   *flush // guarded by mu: the newest, until it begins
	failed error  // guarded by mu: what the first one said that failed
}

// flush is one call for all who have joined it.
type flush struct {
	done chan struct{}
	err  error // to be read when done is closed
}

// do returns when call has run from begin to end after do was called, and what it said. Once a call
// has failed nothing is called any more, and do returns what that one said.
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
	mine.err = f.failed
	f.mu.Unlock()
	if mine.err == nil {
		mine.err = call()
		f.fail(mine.err)
	}
	close(mine.done)
	return mine.err
}

// fail remembers what a flush said that failed, before the one after it looks.
func (f *flusher) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}
