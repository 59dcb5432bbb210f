package sim

import (
	"context"
	"sync"
	"time"
)

// fault is one thing that goes wrong, and how often among the others: where it comes alone,
// and where several are under way at a time.
type fault struct {
	name            string
	alone, together int
	// strike makes the fault and returns for how long it lasts, and what ends it; nil is that
	// there was nobody to strike.
	strike func(w *World, ctx context.Context) (lasts time.Duration, end func())
}

// faults is the whole list.
func faults() []fault {
	return []fault{
		{"kill leader", 75, 30, (*World).killLeader},
		{"kill follower", 6, 8, (*World).killFollower},
		{"kill leader and cell", 4, 2, (*World).killLeaderAndCell},
		{"isolate leader", 5, 6, (*World).isolateLeader},
		{"cut one way", 5, 10, (*World).cutOneWay},
		{"storm", 4, 10, (*World).storm},
		{"slow disk", 3, 8, (*World).slowDisk},
		{"hanging disk", 3, 6, (*World).hangingDisk},
		{"disk error", 2, 5, (*World).diskError},
		{"disk full", 2, 5, (*World).diskFull},
		{"power loss", 2, 3, (*World).powerLoss},
		{"kill cell", 4, 5, (*World).killCell},
		{"isolate cell", 3, 5, (*World).isolateCell},
		{"hand over", 3, 6, (*World).handOver},
		{"clock jump", 2, 2, (*World).jumpClock},
		{"standstill", 5, 10, (*World).standStill},
		{"cell stands still", 5, 8, (*World).cellStands},
		{"host is suspended", 3, 5, (*World).suspend},
		{"kill in a hand-over", 4, 5, (*World).killHandingOver},
	}
}

// leaderSeat waits a little for a leader and returns where it lives.
func (w *World) leaderSeat(ctx context.Context) *seat {
	looks := 200
	if w.cfg.Together > 1 {
		looks = 40 // there may be none for long
	}
	for range looks {
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

// a while is how long most faults last.
func (w *World) while() time.Duration { return w.dice.between(200*time.Millisecond, 4*time.Second) }

// noEnd ends what has no end of its own.
func noEnd() {}

// fell kills who lives in a seat, and keeps it down until up is called.
func (s *seat) fell() (up func()) {
	s.hold(1)
	s.kill()
	return func() { s.hold(-1) }
}

func (w *World) killLeader(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	up := s.fell()
	w.count("leader kills")
	return w.while(), up
}

func (w *World) killFollower(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil && w.cfg.Together <= 1 {
		return 0, nil
	}
	up := pick(w.dice, w.others(s)).fell()
	return w.while(), up
}

func (w *World) killLeaderAndCell(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	h := pick(w.dice, w.hosts)
	up := s.fell()
	hUp := h.fell()
	w.count("leader kills")
	return w.cfg.Limit + 2*time.Second, func() { up(); hUp() }
}

func (w *World) isolateLeader(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	mend := w.net.isolate(s.name, w.everybody())
	return w.while(), mend
}

// everybody names all processes that live, and those that live again soon.
func (w *World) everybody() []string {
	names := w.net.names()
	for _, s := range w.seats {
		if s.alive() == nil {
			names = append(names, s.name)
		}
	}
	for _, h := range w.hosts {
		if !h.up() {
			names = append(names, string(h.id))
		}
	}
	return names
}

func (w *World) cutOneWay(context.Context) (time.Duration, func()) {
	a := pick(w.dice, w.seats)
	b := pick(w.dice, w.others(a))
	mend := w.net.cut(a.name, b.name)
	return w.while(), mend
}

func (w *World) storm(context.Context) (time.Duration, func()) {
	mend := w.net.storm(weather{low: time.Millisecond, high: w.dice.between(5*time.Millisecond, 150*time.Millisecond), loss: 0.1, dup: 0.1})
	return w.dice.between(time.Second, 6*time.Second), mend
}

func (w *World) slowDisk(context.Context) (time.Duration, func()) {
	mend := pick(w.dice, w.seats).drive().ail(ail{slow: w.dice.between(20*time.Millisecond, 3*time.Second)})
	return w.dice.between(time.Second, 8*time.Second), mend
}

// hangingDisk hangs most often the leader's, now and then for longer than a scheduler bears.
func (w *World) hangingDisk(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil || w.dice.chance(0.4) {
		s = pick(w.dice, w.seats)
	}
	mend := s.drive().ail(ail{hangs: true})
	return w.dice.between(500*time.Millisecond, 12*time.Second), mend
}

func (w *World) diskError(context.Context) (time.Duration, func()) { return w.breakDisk(errIO) }

func (w *World) diskFull(context.Context) (time.Duration, func()) { return w.breakDisk(errFull) }

func (w *World) breakDisk(err error) (time.Duration, func()) {
	mend := pick(w.dice, w.seats).drive().ail(ail{fault: err})
	return w.while(), mend
}

// powerLoss takes every scheduler at the same moment; where faults come together, any majority.
func (w *World) powerLoss(context.Context) (time.Duration, func()) {
	victims := w.seats
	if w.cfg.Together > 1 {
		victims = w.majority()
	}
	var ups []func()
	var falls sync.WaitGroup
	for _, s := range victims {
		if s.alive().leads() {
			w.count("leader kills")
		}
		s.hold(1)
		ups = append(ups, func() { s.hold(-1) })
		falls.Go(func() { s.kill() })
	}
	falls.Wait()
	return w.while(), func() {
		for _, up := range ups {
			up()
		}
	}
}

// majority draws some seats, more than half of them.
func (w *World) majority() []*seat {
	list := w.others(nil)
	for keep := len(w.seats)/2 + 1 + w.dice.below((len(w.seats)+1)/2); len(list) > keep; {
		i := w.dice.below(len(list))
		list = append(list[:i:i], list[i+1:]...)
	}
	return list
}

func (w *World) killCell(context.Context) (time.Duration, func()) {
	up := pick(w.dice, w.hosts).fell()
	return w.while(), up
}

func (w *World) isolateCell(context.Context) (time.Duration, func()) {
	mend := w.net.isolate(string(pick(w.dice, w.hosts).id), w.everybody())
	return w.dice.between(time.Second, 2*w.cfg.Limit), mend
}

// jumpClock steps the wall clock: nothing but what is shown may change.
func (w *World) jumpClock(context.Context) (time.Duration, func()) {
	w.clock.jump(w.dice.between(-time.Hour, time.Hour))
	return 0, noEnd
}
