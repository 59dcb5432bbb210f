package sim

import (
	"context"
	"time"
)

// standStill stops a scheduler beyond its timers, most often the one that leads: it goes on
// believing what it believed then.
func (w *World) standStill(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil || w.dice.chance(0.3) {
		s = pick(w.dice, w.seats)
	}
	n := s.alive()
	if n == nil || n.proc.stands() {
		return 0, nil
	}
	n.proc.stand()
	return w.dice.between(200*time.Millisecond, 8*time.Second), n.proc.goOn
}

// cellStands stops a cell's agent. Its machine's clock and its workers go on.
func (w *World) cellStands(ctx context.Context) (time.Duration, func()) {
	a := pick(w.dice, w.hosts).alive()
	if a == nil || a.proc.stands() || !a.stop(ctx) {
		return 0, nil
	}
	return w.beyondEnds(), a.proc.goOn
}

// suspend puts a whole host to sleep, its agent and its workers: only its clock goes on. What was due
// meanwhile is due at once when it wakes.
func (w *World) suspend(ctx context.Context) (time.Duration, func()) {
	h := pick(w.dice, w.hosts)
	a := h.alive()
	if a == nil || a.proc.stands() || h.sleep.stands() || !a.stop(ctx) {
		return 0, nil
	}
	h.sleep.stand()
	return w.beyondEnds(), func() {
		h.sleep.goOn()
		a.proc.goOn()
	}
}

// beyondEnds is for how long a cell stands still: beyond its heartbeats, beyond the ends of what it has
// bound, and now and then until all of that may be given again.
func (w *World) beyondEnds() time.Duration {
	most := 8 * time.Second
	if w.dice.chance(0.2) {
		most = 35 * time.Second
	}
	return w.dice.between(200*time.Millisecond, most)
}

// stop stops an agent when it may be stopped; false is that there was no such moment.
func (a *agent) stop(ctx context.Context) bool {
	// Its teardowns count its own running time by a ticker, which cannot be stopped: none of them is
	// under way when it stands, and none begins then.
	for range 100 {
		if !a.binds.busy() {
			a.proc.stand()
			return true
		}
		if !pass(ctx, 7*time.Millisecond) {
			break
		}
	}
	return false
}
