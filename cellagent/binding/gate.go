package binding

import (
	"context"
	"errors"
	"sync"
)

// gate counts the operations inside a binding and lets nobody in after it was shut. The zero
// value is open.
type gate struct {
	mu     sync.Mutex
	inside int
	shut   bool
	empty  chan struct{} // closed when the last one leaves a shut gate; nil until somebody waits
}

// enter reports whether the caller may go in; it then has to leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// closeNow shuts the gate and reports whether nobody is inside.
func (g *gate) closeNow() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	return g.inside == 0
}

// close shuts the gate at once and waits until nobody is inside or ctx ends.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	g.shut = true
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return errors.New("an operation is still inside")
	}
}
