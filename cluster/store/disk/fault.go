package disk

import "sync"

// Fault remembers the first failure that the stores of one directory cannot live on after,
// and tells of it once. No write may follow: a disk that refused an fsync may have dropped
// the pages, and would confirm the next one without them.
type Fault struct {
	mu   sync.Mutex
	err  error       // guarded by mu
	tell func(error) // guarded by mu
}

// NewFault returns a Fault that tells tell, from the goroutine that met the failure. Nil is
// nobody.
func NewFault(tell func(error)) *Fault { return &Fault{tell: tell} }

// Err returns the failure; nil while there is none.
func (f *Fault) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Set remembers err unless there was a failure before, and returns the one that holds.
func (f *Fault) Set(err error) error {
	f.mu.Lock()
	first := f.err == nil
	if first {
		f.err = err
	}
	err, tell := f.err, f.tell
	f.mu.Unlock()
	if first && tell != nil {
		tell(err)
	}
	return err
}

// Tell names another who is told, of a failure before the call too.
func (f *Fault) Tell(tell func(error)) {
	f.mu.Lock()
	f.tell = tell
	err := f.err
	f.mu.Unlock()
	if err != nil {
		tell(err)
	}
}
