package jwks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/grafos/grafos/api/clock"
)

// How a source keeps its set.
const (
	// Fresh is for how long a set is not asked for again.
	Fresh = 10 * time.Minute
	// Pause is how long a source waits between two tries, whatever it is asked for: nobody makes it ask
	// more often with names of keys that do not exist.
	Pause = 30 * time.Second
	// MaxStale is for how long the last good set is used when no new one can be had.
	MaxStale = 24 * time.Hour
	// loadTime bounds one try.
	loadTime = 5 * time.Second
)

// Loader brings a set's document, at most MaxSize bytes of it and one more.
type Loader func(ctx context.Context) ([]byte, error)

// Source is a key set that is looked up when it is needed. It has no goroutine: who asks for a key
// waits for the document.
type Source struct {
	load  Loader
	clock clock.Clock

	turn chan struct{} // held by the one that loads

	mu     sync.Mutex
	set    Set
	at     time.Time // when set was loaded
	tried  time.Time // when it was tried last
	err    error     // what came of that
	loaded int       // tries, for tests
}

// NewSource returns the source of what load brings.
func NewSource(load Loader, c clock.Clock) *Source {
	return &Source{load: load, clock: c, turn: make(chan struct{}, 1)}
}

// UnavailableError says that there is no set to look into.
type UnavailableError struct {
	Stale time.Duration // how old the last good one is; 0 is that there never was one
	Err   error
}

// Error says what is wrong, and for how long.
func (e *UnavailableError) Error() string {
	if e.Stale > 0 {
		return fmt.Sprintf("the key set is %s old, and no new one is to be had: %v", e.Stale.Truncate(time.Second), e.Err)
	}
	return fmt.Sprintf("there is no key set yet: %v", e.Err)
}

// Unwrap returns why.
func (e *UnavailableError) Unwrap() error { return e.Err }

// NoKeyError says that the set has no such key.
type NoKeyError struct {
	ID  string
	Err error // why there is no newer set; nil is that it is new
}

// Error names the key.
func (e *NoKeyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the key set has no key %.64q, and no newer set is to be had: %v", e.ID, e.Err)
	}
	return fmt.Sprintf("the key set has no key %.64q", e.ID)
}

// Unwrap returns why there is no newer set.
func (e *NoKeyError) Unwrap() error { return e.Err }

// Key returns a key by its name. A set that is not fresh, or does not know the name, is loaded anew
// first, at most once a Pause; while that fails, the last good one is used for MaxStale.
func (s *Source) Key(ctx context.Context, id string) (Key, error) {
	if s.due(id) {
		select {
		case s.turn <- struct{}{}:
			if s.due(id) { // nobody loaded it meanwhile
				s.reload(ctx)
			}
			<-s.turn
		case <-ctx.Done():
			return Key{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		return Key{}, &UnavailableError{Err: s.err}
	}
	if age := clock.Since(s.clock, s.at); age > MaxStale {
		return Key{}, &UnavailableError{Stale: age, Err: s.err}
	}
	k, ok := s.set[id]
	if !ok {
		return Key{}, &NoKeyError{ID: id, Err: s.err}
	}
	return k, nil
}

// due reports whether the set is to be loaded before a key is looked up.
func (s *Source) due(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tried.IsZero() && clock.Since(s.clock, s.tried) < Pause {
		return false
	}
	_, known := s.set[id]
	return !known || clock.Since(s.clock, s.at) >= Fresh
}

// reload tries once. Who asked may go away meanwhile: the others still need what it brings.
func (s *Source) reload(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
	defer cancel()
	doc, err := s.load(ctx)
	var set Set
	if err == nil {
		set, err = Parse(doc)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.err, s.loaded = s.clock.Now(), err, s.loaded+1
	if err == nil {
		s.set, s.at = set, s.tried
	}
}
