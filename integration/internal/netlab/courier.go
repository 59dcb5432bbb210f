package netlab

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// maxParcels bounds the frames that are under way; more are lost.
const maxParcels = 16384

// parcel is a frame that arrives later.
type parcel struct {
	at       time.Duration
	seq      uint64 // keeps what arrives at the same time in order
	from, to int
	frame    []byte
}

// parcels is a heap by time of arrival.
type parcels []parcel

// Len is heap.Interface's.
func (p *parcels) Len() int { return len(*p) }

// Less is heap.Interface's.
func (p *parcels) Less(i, j int) bool {
	a, b := (*p)[i], (*p)[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// Swap is heap.Interface's.
func (p *parcels) Swap(i, j int) { (*p)[i], (*p)[j] = (*p)[j], (*p)[i] }

// Push is heap.Interface's.
func (p *parcels) Push(x any) { *p = append(*p, x.(parcel)) } //nolint:forcetypeassert,errcheck // heap.Push gets parcels only

// Pop is heap.Interface's.
func (p *parcels) Pop() any {
	old := *p
	last := old[len(old)-1]
	old[len(old)-1] = parcel{}
	*p = old[:len(old)-1]
	return last
}

// courier delivers frames when their time has come.
type courier struct {
	now     func() time.Duration
	deliver func(from, to int, frame []byte)

	mu   sync.Mutex
	due  parcels // guarded by mu
	seq  uint64  // guarded by mu
	wake chan struct{}
}

func newCourier(now func() time.Duration, deliver func(from, to int, frame []byte)) *courier {
	return &courier{now: now, deliver: deliver, wake: make(chan struct{}, 1)}
}

// take accepts a parcel, and reports false when there is no room for it.
func (c *courier) take(p parcel) bool {
	c.mu.Lock()
	if len(c.due) >= maxParcels {
		c.mu.Unlock()
		return false
	}
	p.seq = c.seq
	c.seq++
	heap.Push(&c.due, p)
	first := c.due[0].seq == p.seq
	c.mu.Unlock()
	if first { // only an earlier time changes how long to wait
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// run delivers until ctx ends.
func (c *courier) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		timer.Reset(c.round())
	}
}

// idle is how long the courier waits when there is nothing to deliver: to be woken.
const idle = time.Hour

// round delivers what is due and returns how long until the next is.
func (c *courier) round() time.Duration {
	for {
		c.mu.Lock()
		if len(c.due) == 0 {
			c.mu.Unlock()
			return idle
		}
		if wait := c.due[0].at - c.now(); wait > 0 {
			c.mu.Unlock()
			return wait
		}
		p, _ := heap.Pop(&c.due).(parcel)
		c.mu.Unlock()
		c.deliver(p.from, p.to, p.frame)
	}
}
