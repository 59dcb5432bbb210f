package blob

import (
	"context"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// The kinds of flight.
const (
	flyLocal = iota // the bytes come to this disk
	flyPut          // they come to a quorum of disks
	flyFetch        // they are looked for on the others
)

// patience is how long one waits for another's flight: its body may come slowly, or its
// sender may mean it to.
const patience = 5 * time.Second

type flightKey struct {
	digest api.Digest
	kind   int
}

// flight is one put or fetch of one digest; whoever wants the same meanwhile waits for it.
type flight struct {
	done chan struct{}
	// err and shared are set before done is closed; shared says that err holds for all.
	err    error
	shared bool
}

// fly runs f, or waits for the same flight that is under way and shares its success. The
// failure of a put is not shared: it may be of that body or that caller, so the next one
// tries with its own. Who has waited long enough flies alone.
func (s *Store) fly(ctx context.Context, k flightKey, f func(context.Context) error) error {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		mine, other, err := s.takeOff(k)
		if err != nil {
			return err
		}
		if mine != nil {
			err := f(ctx)
			s.land(k, mine, err, err == nil || k.kind == flyFetch && ctx.Err() == nil)
			return err
		}
		select {
		case <-other.done:
			if other.shared {
				return other.err
			}
		case <-enough.C:
			return f(ctx)
		case <-ctx.Done():
			return fmt.Errorf("wait for the same blob: %w", context.Cause(ctx))
		}
	}
}

// takeOff returns a flight of the caller's own, or the one that is under way.
func (s *Store) takeOff(k flightKey) (mine, other *flight, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed()
	}
	if other, ok := s.flights[k]; ok {
		return nil, other, nil
	}
	mine = &flight{done: make(chan struct{})}
	s.flights[k] = mine
	return mine, nil, nil
}

func (s *Store) land(k flightKey, mine *flight, err error, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine.err, mine.shared = err, shared
	delete(s.flights, k)
	close(mine.done)
}
