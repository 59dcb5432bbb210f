package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// outcome is what a leader's end was like from the outside.
type outcome struct {
	// next is from the fault to the first acknowledgement of a write that began after it.
	next time.Duration
	// silence is the longest time without any acknowledgement from the fault on: of a
	// hand-over, where the old leader still answers at first, it is the gap.
	silence time.Duration
	// failed counts the probes that failed.
	failed int
	first  error
}

const (
	probeEvery = 10 * time.Millisecond
	// probeAfter is for how long there are probes behind the first acknowledgement.
	probeAfter = 500 * time.Millisecond
	// maxProbes bounds those that wait.
	maxProbes = 1000
)

// strike does a fault to the leader, watches, and mends it: from the fault on a new write
// begins every probeEvery through each of the other two members.
func strike(ctx context.Context, v victim, f fault) (o outcome, err error) {
	leader, err := v.leader(ctx)
	if err != nil {
		return o, err
	}
	var others []int
	for i := range seats {
		if i != leader {
			others = append(others, i)
		}
	}
	for range 3 { // warm connections, as a busy client has
		for _, i := range others {
			if err := v.write(ctx, i); err != nil {
				return o, err
			}
		}
	}
	p := &probes{v: v, began: time.Now(), slots: make(chan struct{}, maxProbes), acked: make(chan struct{})}
	finish, err := f.begin(ctx, v, leader)
	if err != nil {
		return o, err
	}
	p.run(ctx, others)
	err = errors.Join(finish(), v.mend(ctx, leader, f.ends))
	p.wg.Wait()
	return p.outcome(), err
}

// probes are the writes that watch a fault.
type probes struct {
	v     victim
	began time.Time // the fault
	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	acks   []time.Duration // guarded by mu: since the fault
	acked  chan struct{}   // closed with the first
	failed int             // guarded by mu
	first  error           // guarded by mu
}

// run probes until probeAfter behind the first acknowledgement.
func (p *probes) run(ctx context.Context, members []int) {
	ctx, cancel := context.WithTimeout(ctx, faultWait)
	defer cancel()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	acked, end := p.acked, (<-chan time.Time)(nil)
	for {
		for _, i := range members {
			p.send(ctx, i)
		}
		select {
		case <-tick.C:
		case <-acked:
			acked, end = nil, time.After(probeAfter)
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (p *probes) send(ctx context.Context, member int) {
	select {
	case p.slots <- struct{}{}:
	default:
		return
	}
	p.wg.Go(func() {
		defer func() { <-p.slots }()
		// A probe that has begun gets its answer, whatever becomes of the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), faultWait)
		defer cancel()
		err := p.v.write(ctx, member)
		at := time.Since(p.began)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			if p.failed++; p.first == nil {
				p.first = err
			}
			return
		}
		if p.acks = append(p.acks, at); len(p.acks) == 1 {
			close(p.acked)
		}
	})
}

func (p *probes) outcome() outcome {
	o := outcome{failed: p.failed, first: p.first}
	slices.Sort(p.acks)
	last := time.Duration(0)
	for _, at := range p.acks {
		o.silence = max(o.silence, at-last)
		last = at
	}
	if len(p.acks) == 0 {
		o.next, o.silence = faultWait, faultWait
		o.first = errors.Join(errors.New("nothing was acknowledged"), o.first)
		return o
	}
	o.next = p.acks[0]
	return o
}

// crowd is a number of clients that write all the time.
type crowd struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	done   int   // guarded by mu
	failed int   // guarded by mu
	first  error // guarded by mu
}

func newCrowd(ctx context.Context, v victim, clients int) *crowd {
	c := &crowd{}
	running, stop := context.WithCancel(ctx)
	c.stop = stop
	for range clients {
		c.wg.Go(func() {
			for running.Err() == nil {
				err := v.writeAnywhere(ctx) // the one under way is finished
				c.mu.Lock()
				if err == nil {
					c.done++
				} else if c.failed++; c.first == nil {
					c.first = err
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

// end waits for the clients.
func (c *crowd) end() {
	c.stop()
	c.wg.Wait()
}
