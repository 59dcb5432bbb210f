package server

import (
	"math/rand/v2"
	"sync"

	"github.com/grafos/grafos/api"
)

// limiter bounds how much is under way at once.
type limiter chan struct{}

func newLimiter(n int) limiter { return make(limiter, n) }

// take takes room and returns what gives it back, or refuses with overloaded: a queue here
// would only make everybody late.
func (l limiter) take() (release func(), err error) {
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	default:
		return nil, later(api.Refuse(api.Overloaded, "this scheduler works on %d requests already", cap(l)).
			WithHint("repeat it a little later, or at another scheduler"))
	}
}

// later says when to come again: spread, so that they do not come back together.
func later(e *api.Error) *api.Error {
	e.RetryAfterMs = 100 + rand.Int64N(200)
	return e
}

// share bounds what each caller may have under way at once, so that one of them cannot take
// the room of all.
type share struct {
	limit int

	mu   sync.Mutex
	held map[string]int // guarded by mu; who holds nothing is not in it
}

func newShare(limit int) *share { return &share{limit: limit, held: map[string]int{}} }

// take is limiter.take for one caller.
func (s *share) take(who string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[who] >= s.limit {
		return nil, later(api.Refuse(api.Overloaded, "%s has %d streams or blocking reads open at this scheduler already", who, s.limit).
			WithHint("close some of them, or open this one at another scheduler"))
	}
	s.held[who]++
	return func() { s.give(who) }, nil
}

func (s *share) give(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[who]--; s.held[who] == 0 {
		delete(s.held, who)
	}
}
