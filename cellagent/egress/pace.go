package egress

import (
	"context"
	"sync"
	"time"
)

// pace lets so many units a second through, and no more than burst of them at once.
type pace struct {
	now   func() int64
	cost  float64 // ns that one unit takes
	burst int64   // units, at least one

	mu   sync.Mutex
	paid int64 // until when, on the clock, all that was let through is paid for
}

func newPace(now func() int64, rate float64, burst int64) *pace {
	p := &pace{now: now, cost: float64(time.Second) / rate, burst: max(burst, 1)}
	p.paid = now() - p.price(p.burst)
	return p
}

// take lets some of want through, or says for how long to wait. It waits for half a burst, where so much
// is wanted, so that a slow lease is not one byte a call.
func (p *pace) take(want int64) (n int64, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.paid = max(p.paid, now-p.price(p.burst))
	have := int64(float64(now-p.paid) / p.cost)
	if p.price(p.burst) == 0 { // faster than the clock can tell
		have = p.burst
	}
	want = min(want, p.burst)
	if need := min(want, (p.burst+1)/2); have < need {
		return 0, max(time.Duration(p.paid+p.price(need)-now), time.Microsecond)
	}
	n = min(want, max(have, 1))
	p.paid += p.price(n)
	return n, 0
}

// back returns what was let through and not used.
func (p *pace) back(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paid -= p.price(n)
}

func (p *pace) price(n int64) int64 { return int64(float64(n) * p.cost) }

// await is take, waiting until something of want is let through; 0 is that ctx ended before.
func (p *pace) await(ctx context.Context, want int64) int64 {
	for ctx.Err() == nil {
		n, wait := p.take(want)
		if n > 0 {
			return n
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return 0
}
