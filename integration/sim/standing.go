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

// cellStands stops a cell's agent: beyond its heartbeats, beyond the ends of what it has bound, and
// now and then until all of that may be given again. Its machine's clock and its workers go on.
func (w *World) cellStands(ctx context.Context) (time.Duration, func()) {
	a := pick(w.dice, w.hosts).alive()
	if a == nil || a.proc.stands() {
		return 0, nil
	}
	// Its teardowns count its own running time by a ticker, which cannot be stopped: none of them is
	// under way when it stands, and none begins then.
	for range 100 {
		if !a.binds.busy() {
			a.proc.stand()
			most := 8 * time.Second
			if w.dice.chance(0.2) {
				most = 35 * time.Second
			}
			return w.dice.between(200*time.Millisecond, most), a.proc.goOn
		}
		if !pass(ctx, 7*time.Millisecond) {
			break
		}
	}
	return 0, nil
}
