package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// progress is how far the state machine has come in the log. The zero value is at index 0.
type progress struct {
	mu      sync.Mutex
	index   uint64        // guarded by mu: everything up to it is applied
	halted  bool          // guarded by mu: the machine has stopped and comes no further
	changed chan struct{} // guarded by mu: closed at the next change; nil while nobody waits
}

// reach says that everything up to index is applied.
func (p *progress) reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.halted && index > p.index {
		p.index = index
		p.wake()
	}
}

// halt says that nothing is applied any more.
func (p *progress) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halted = true
	p.wake()
}

func (p *progress) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// look reports whether index is reached, and what to wait for if it is not.
func (p *progress) look(index uint64) (bool, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index >= index {
		return true, nil, nil
	}
	if p.halted {
		return false, nil, errors.New("the state machine has stopped")
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return false, p.changed, nil
}

// wait returns when index is reached, ctx has ended, or the machine has stopped.
func (p *progress) wait(ctx context.Context, index uint64) error {
	for {
		reached, changed, err := p.look(index)
		if reached || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d: %w", index, ctx.Err())
		}
	}
}
