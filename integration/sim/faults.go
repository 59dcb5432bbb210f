package sim

import (
	"context"
	"time"
)

// fault is one thing that goes wrong, and how often among the others.
type fault struct {
	name   string
	weight int
	do     func(w *World, ctx context.Context)
}

// faults is the whole list.
func faults() []fault {
	return []fault{
		{"kill leader", 75, (*World).killLeader},
		{"kill follower", 6, (*World).killFollower},
		{"kill leader and cell", 4, (*World).killLeaderAndCell},
		{"isolate leader", 5, (*World).isolateLeader},
		{"cut one way", 5, (*World).cutOneWay},
		{"storm", 4, (*World).storm},
		{"slow disk", 3, (*World).slowDisk},
		{"disk error", 2, (*World).diskError},
		{"disk full", 2, (*World).diskFull},
		{"power loss", 2, (*World).powerLoss},
		{"kill cell", 4, (*World).killCell},
		{"isolate cell", 3, (*World).isolateCell},
		{"hand over", 3, (*World).handOver},
		{"clock jump", 2, (*World).jumpClock},
		{"standstill", 5, (*World).standStill},
	}
}

// trouble makes faults until ctx ends, and mends what each of them broke.
func (w *World) trouble(ctx context.Context) {
	list := faults()
	total := 0
	for _, f := range list {
		total += f.weight
	}
	for pass(ctx, w.dice.between(w.cfg.Calm/2, w.cfg.Calm*3/2)) && !w.failed() {
		n := w.dice.below(total)
		for _, f := range list {
			if n -= f.weight; n < 0 {
				w.trace.add("fault %s", f.name)
				w.count(f.name)
				f.do(w, ctx)
				break
			}
		}
		w.mend()
	}
}

// mend heals the network and the disks, and starts what is down.
func (w *World) mend() {
	w.net.heal()
	for _, s := range w.seats {
		s.disk.ail(0, nil)
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
		if !h.up() {
			if err := h.start(); err != nil {
				w.fail("cell %s does not start: %v", h.id, err)
			}
		}
	}
}

// isBroken reports whether the process must end.
func (n *scheduler) isBroken() bool {
	select {
	case err := <-n.broken:
		n.broken <- err
		return true
	default:
		return false
	}
}

// leaderSeat waits a little for a leader and returns where it lives.
func (w *World) leaderSeat(ctx context.Context) *seat {
	for range 200 {
		for _, s := range w.seats {
			if s.alive().leads() {
				return s
			}
		}
		if !pass(ctx, 50*time.Millisecond) {
			return nil
		}
	}
	return nil
}

func (w *World) others(not *seat) []*seat {
	var list []*seat
	for _, s := range w.seats {
		if s != not {
			list = append(list, s)
		}
	}
	return list
}

// a while is how long a fault lasts.
func (w *World) while(ctx context.Context) {
	pass(ctx, w.dice.between(200*time.Millisecond, 4*time.Second))
}

func (w *World) killLeader(ctx context.Context) {
	if s := w.leaderSeat(ctx); s != nil {
		s.kill()
		w.count("leader kills")
		w.while(ctx)
	}
}

func (w *World) killFollower(ctx context.Context) {
	if s := w.leaderSeat(ctx); s != nil {
		pick(w.dice, w.others(s)).kill()
		w.while(ctx)
	}
}

func (w *World) killLeaderAndCell(ctx context.Context) {
	if s := w.leaderSeat(ctx); s != nil {
		h := pick(w.dice, w.hosts)
		s.kill()
		h.kill()
		w.count("leader kills")
		pass(ctx, w.cfg.Limit+2*time.Second)
	}
}

func (w *World) isolateLeader(ctx context.Context) {
	if s := w.leaderSeat(ctx); s != nil {
		w.net.isolate(s.name, w.net.names())
		w.while(ctx)
	}
}

func (w *World) cutOneWay(ctx context.Context) {
	a := pick(w.dice, w.seats)
	b := pick(w.dice, w.others(a))
	w.net.cut(a.name, b.name)
	w.while(ctx)
}

func (w *World) storm(ctx context.Context) {
	w.net.storm(weather{low: time.Millisecond, high: w.dice.between(5*time.Millisecond, 150*time.Millisecond), loss: 0.1, dup: 0.1})
	pass(ctx, w.dice.between(time.Second, 6*time.Second))
}

func (w *World) slowDisk(ctx context.Context) {
	pick(w.dice, w.seats).disk.ail(w.dice.between(20*time.Millisecond, 3*time.Second), nil)
	pass(ctx, w.dice.between(time.Second, 8*time.Second))
}

func (w *World) diskError(ctx context.Context) { w.breakDisk(ctx, errIO) }

func (w *World) diskFull(ctx context.Context) { w.breakDisk(ctx, errFull) }

func (w *World) breakDisk(ctx context.Context, err error) {
	pick(w.dice, w.seats).disk.ail(0, err)
	w.while(ctx)
}

func (w *World) powerLoss(ctx context.Context) {
	for _, s := range w.seats {
		s.kill()
	}
	w.count("leader kills")
	w.while(ctx)
}

func (w *World) killCell(ctx context.Context) {
	pick(w.dice, w.hosts).kill()
	w.while(ctx)
}

func (w *World) isolateCell(ctx context.Context) {
	w.net.isolate(string(pick(w.dice, w.hosts).id), w.net.names())
	pass(ctx, w.dice.between(time.Second, 2*w.cfg.Limit))
}

func (w *World) handOver(ctx context.Context) {
	if s := w.leaderSeat(ctx); s != nil {
		s.stop()
		w.while(ctx)
	}
}

// jumpClock steps the wall clock: nothing but what is shown may change.
func (w *World) jumpClock(context.Context) {
	w.clock.jump(w.dice.between(-time.Hour, time.Hour))
}

// standStill stops a scheduler beyond its timers, most often the one that leads: it goes on
// believing what it believed then.
func (w *World) standStill(ctx context.Context) {
	s := w.leaderSeat(ctx)
	if s == nil || w.dice.chance(0.3) {
		s = pick(w.dice, w.seats)
	}
	n := s.alive()
	if n == nil {
		return
	}
	n.proc.stand()
	pass(ctx, w.dice.between(200*time.Millisecond, 8*time.Second))
	n.proc.goOn()
	w.while(ctx)
}
