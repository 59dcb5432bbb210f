package cluster

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
)

// pulse notices that this process stood still: stopped by a signal, or starved. Its beats
// are on the monotonic clock, which goes on meanwhile.
type pulse struct {
	clock clock.Clock
	limit time.Duration // a longer pause between two beats is a standstill
	began time.Time
	last  atomic.Int64 // of the newest beat, since began
	woke  atomic.Int64 // of the newest beat after a standstill, since began; 0 is none
}

// beat is the pause between two beats.
const beat = 100 * time.Millisecond

// newPulse takes for a standstill what lasts as long as raft's leader lease: for as long an
// old answer can pass for a new one.
func newPulse(c clock.Clock, limit time.Duration) *pulse {
	return &pulse{clock: c, limit: limit, began: c.Now()}
}

// run beats until ctx ends.
func (p *pulse) run(ctx context.Context) {
	p.beat(p.clock.Now())
	for clock.Sleep(ctx, beat) {
		p.beat(p.clock.Now())
	}
}

func (p *pulse) beat(now time.Time) {
	at := now.Sub(p.began)
	if last := p.last.Load(); last > 0 && at-time.Duration(last) > p.limit {
		p.woke.Store(int64(at)) // first: whoever sees this beat sees that it came late
	}
	p.last.Store(int64(at))
}

// steady reports whether the process has not stood still for as long as limit ago.
func (p *pulse) steady() bool {
	return mutant.On(mutant.TrustStandstill) || p.steadyAt(p.clock.Now())
}

func (p *pulse) steadyAt(now time.Time) bool {
	at, last, woke := now.Sub(p.began), time.Duration(p.last.Load()), time.Duration(p.woke.Load())
	return at-last <= p.limit && (woke == 0 || at-woke > p.limit)
}
