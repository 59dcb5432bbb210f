package sim

import (
	"context"
	"sync"
	"time"
)

// trouble makes faults until ctx ends. One at a time is mended whole before the next; where
// there are several at a time, each has its own end, whatever else is wrong by then, and a
// process that ended or was killed is started again as an init system does it.
func (w *World) trouble(ctx context.Context) {
	if w.cfg.Together <= 1 {
		w.makeFaults(ctx, faults(), func(f fault) int { return f.alone }, w.mend)
		return
	}
	var hands, keepers sync.WaitGroup
	keep, done := context.WithCancel(context.Background())
	for _, s := range w.seats {
		keepers.Go(func() { w.keepSeat(keep, s) })
	}
	for _, h := range w.hosts {
		keepers.Go(func() { w.keepHost(keep, h) })
	}
	together := func(f fault) int { return f.together }
	for range w.cfg.Together {
		hands.Go(func() { w.makeFaults(ctx, faults(), together, noEnd) })
	}
	if w.cfg.Spares > 0 {
		hands.Go(func() { w.makeFaults(ctx, comings(), together, noEnd) })
	}
	hands.Wait()
	done()
	keepers.Wait()
}

// makeFaults makes one fault after another, with some peace before each.
func (w *World) makeFaults(ctx context.Context, list []fault, weight func(fault) int, mend func()) {
	total := 0
	for _, f := range list {
		total += weight(f)
	}
	for pass(ctx, w.dice.between(w.cfg.Calm/2, w.cfg.Calm*3/2)) && !w.failed() && !w.cfg.Stop() {
		n := w.dice.below(total)
		for _, f := range list {
			if n -= weight(f); n < 0 {
				w.suffer(ctx, f)
				break
			}
		}
		mend()
	}
}

// suffer makes a fault and ends it.
func (w *World) suffer(ctx context.Context, f fault) {
	w.trace.add("fault %s", f.name)
	lasts, end := f.strike(w, ctx)
	if end == nil {
		w.count("found nobody: " + f.name)
		return
	}
	w.count(f.name)
	w.beginFault()
	pass(ctx, lasts)
	w.trace.add("end of %s", f.name)
	end()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under--
}

// beginFault counts a fault that begins while others are under way.
func (w *World) beginFault() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under++; w.under > 1 {
		w.counts["combined"]++
	}
	if w.under > 2 {
		w.counts["three at a time"]++
	}
}

// keepSeat starts who lives in a seat when nothing keeps it down, and ends a process that says
// that it must end.
func (w *World) keepSeat(ctx context.Context, s *seat) {
	for pass(ctx, w.dice.between(100*time.Millisecond, time.Second)) && !w.failed() {
		n := s.alive()
		switch {
		case n != nil && n.isBroken():
			w.trace.add("scheduler %s ends", s.name)
			w.count("ended by itself")
			s.kill()
		case n == nil && !s.isHeld():
			// On a disk that refuses writes it may not start; then it is tried again.
			if err := s.start(); err != nil && !s.drive().ailing() {
				w.fail("scheduler %s does not start: %v", s.name, err)
			}
		}
	}
}

// keepHost starts a cell's agent when nothing keeps it down.
func (w *World) keepHost(ctx context.Context, h *host) {
	for pass(ctx, w.dice.between(100*time.Millisecond, time.Second)) && !w.failed() {
		if h.up() || h.isHeld() {
			continue
		}
		if err := h.start(); err != nil {
			w.fail("cell %s does not start: %v", h.id, err)
		}
	}
}

// mend heals the network and the disks, and starts what is down.
func (w *World) mend() {
	w.net.heal()
	for _, s := range w.seats {
		s.drive().heal()
		if n := s.alive(); n != nil {
			n.proc.goOn()
		}
		if n := s.alive(); n != nil && n.isBroken() {
			s.kill()
		}
		if s.alive() == nil {
			if err := s.start(); err != nil {
				w.fail("scheduler %s does not start: %v", s.name, err)
			}
		}
	}
	for _, h := range w.hosts {
		if a := h.alive(); a != nil {
			a.proc.goOn()
		}
		if !h.up() {
			if err := h.start(); err != nil {
				w.fail("cell %s does not start: %v", h.id, err)
			}
		}
	}
}

// isBroken reports whether the process must end.
func (n *scheduler) isBroken() bool { return len(n.broken) > 0 }

// stay counts what keeps a process down.
type stay struct {
	mu   sync.Mutex
	held int // guarded by mu
}

// hold adds to what keeps it down, or takes away from it.
func (s *stay) hold(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held += by
}

func (s *stay) isHeld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held > 0
}
