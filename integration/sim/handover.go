package sim

import (
	"context"
	"time"
)

// handOver stops the leader in good order.
func (w *World) handOver(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	s.hold(1)
	s.stop()
	return w.while(), func() { s.hold(-1) }
}

// handOverTakes is about what a hand-over takes on a fair network, before and behind the moment at
// which another one leads.
const handOverTakes = 6 * time.Millisecond

// transferTime bounds a transfer by a process that is dead.
const transferTime = time.Second

// killHandingOver kills a leader in the middle of its graceful stop, or of a transfer by command.
func (w *World) killHandingOver(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	n := s.alive()
	if n == nil {
		return 0, nil
	}
	s.hold(1)
	begun, die := s.stop, func() { s.strikeDown(n) }
	if w.dice.chance(0.5) {
		begun, die = func() { w.giveAway(n) }, s.kill
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		begun()
	}()
	pass(ctx, w.dice.between(0, handOverTakes))
	select {
	case <-done:
		w.count("killed behind a hand-over")
	default:
		if n.node.State().Role == "leader" {
			w.count("leader kills")
		}
	}
	die()
	<-done
	return w.while(), func() { s.hold(-1) }
}

// giveAway hands the lead over by command, if its process lives to do so.
func (w *World) giveAway(n *scheduler) {
	ctx, cancel := context.WithTimeout(n.proc.ctx, transferTime)
	defer cancel()
	if _, err := n.node.Transfer(ctx, ""); err != nil {
		w.log.Debug("not transferred", "scheduler", n.seat.name, "error", err)
	}
}

// strikeDown is the death of a process that is ending in good order: whoever ends it finds it dead.
func (s *seat) strikeDown(n *scheduler) {
	s.mu.Lock()
	if s.now == n {
		s.now = nil
	}
	s.mu.Unlock()
	s.w.net.die(n.proc)
	s.drive().crash()
}
