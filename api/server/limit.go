package server

import (
	"math/rand/v2"

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
		e := api.Refuse(api.Overloaded, "this scheduler works on %d requests already", cap(l)).
			WithHint("repeat it a little later, or at another scheduler")
		e.RetryAfterMs = 100 + rand.Int64N(200) // spread, so that they do not come back together
		return nil, e
	}
}
