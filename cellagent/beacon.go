package cellagent

import "sync"

// beacon shows which session is active, to whoever has something to say on it.
type beacon struct {
	mu      sync.Mutex
	active  *watch
	changed chan struct{}
}

func newBeacon() *beacon { return &beacon{changed: make(chan struct{})} }

// show replaces the active session; nil is none.
func (b *beacon) show(w *watch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.active == w {
		return
	}
	b.active = w
	close(b.changed)
	b.changed = make(chan struct{})
}

// see returns the active session and what is closed when another takes its place.
func (b *beacon) see() (*watch, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.active, b.changed
}
