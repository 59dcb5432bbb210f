package tasklet

import (
	"context"
	"sync"
)

// keyedLock is a lock for each key, that a context can give up waiting for. The zero value
// is ready.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed at unlock
}

// lock returns the function that unlocks.
func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		wait, taken := l.held[key]
		if !taken {
			mine := make(chan struct{})
			if l.held == nil {
				l.held = map[string]chan struct{}{}
			}
			l.held[key] = mine
			l.mu.Unlock()
			return func() { l.release(key, mine) }, nil
		}
		l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *keyedLock) release(key string, mine chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, key)
	close(mine)
}
