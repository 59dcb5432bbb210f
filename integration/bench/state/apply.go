package main

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/fsm"
)

// spent is the time of one kind of entry: on the wall, and of the processor, with the garbage
// collector's share. Where the machine does other things too, only the latter says something.
type spent struct {
	wall, cpu time.Duration
	bytes     uint64 // allocated
	n         int
}

func (s spent) perSecond() float64    { return float64(s.n) / s.wall.Seconds() }
func (s spent) perCPUSecond() float64 { return float64(s.n) / s.cpu.Seconds() }
func (s spent) bytesEach() uint64     { return s.bytes / uint64(s.n) }

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocated is how many bytes this process has asked for so far.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// life is one lease's way through the state machine.
type life struct{ grant, bound, freed, ended spent }

// apply measures Apply on one core: the garbage collector shares it.
func (b *bench) apply() error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	w, err := newWorld(b.cells, b.tenants)
	if err != nil {
		return err
	}
	if err := w.fill(b.live); err != nil {
		return err
	}
	for _, group := range b.entries {
		if err := b.measure(w, group, "fresh"); err != nil {
			return err
		}
	}
	// From here on everything that is forgotten is forgotten at the pace at which it comes.
	for int(w.n) < b.keys {
		var l life
		if err := w.round(&l, maxGroup); err != nil {
			return err
		}
	}
	for _, group := range b.entries {
		if err := b.measure(w, group, "steady"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measure(w *world, group int, state string) error {
	var l life
	runtime.GC()
	for l.grant.n < b.grants {
		if err := w.round(&l, group); err != nil {
			return err
		}
	}
	c := w.m.View().Counts()
	b.say("state apply grants/s=%.0f grants/cpu_s=%.0f bytes=%d entries=%d state=%s live=%d leases=%d keys=%d aim=50000",
		l.grant.perSecond(), l.grant.perCPUSecond(), l.grant.bytesEach(), group, state, c.LiveLeases, c.Leases, c.Keys)
	whole := spent{
		wall: l.grant.wall + l.bound.wall + l.freed.wall + l.ended.wall,
		cpu:  l.grant.cpu + l.bound.cpu + l.freed.cpu + l.ended.cpu, n: l.grant.n,
	}
	b.say("state life lives/s=%.0f lives/cpu_s=%.0f bound/cpu_s=%.0f freed/cpu_s=%.0f ended/cpu_s=%.0f bytes=%d,%d,%d entries=%d state=%s",
		whole.perSecond(), whole.perCPUSecond(), l.bound.perCPUSecond(), l.freed.perCPUSecond(), l.ended.perCPUSecond(),
		l.bound.bytesEach(), l.freed.bytesEach(), l.ended.bytesEach(), group, state)
	return nil
}

// round is a part of the steady state: a few entries of grants, the reports that bind them, as
// many of the oldest leases freed, and the reports that they are torn down.
func (w *world) round(l *life, group int) error {
	const least = 256
	var all []made
	var entries []*raft.Log
	for len(all) < least {
		cs, leases := w.grants(group)
		e, err := w.entry(cs...)
		if err != nil {
			return err
		}
		entries, all = append(entries, e), append(all, leases...)
	}
	if err := w.timed(&l.grant, len(all), entries); err != nil {
		return err
	}
	w.made = append(w.made, all...)
	if err := w.apart(&l.bound, all, group, func(of []made) []fsm.Command { return w.reports(of, bind) }); err != nil {
		return err
	}
	old := w.made[:len(all)]
	w.made = w.made[len(all):]
	if err := w.apart(&l.freed, old, group, w.frees); err != nil {
		return err
	}
	return w.apart(&l.ended, old, group, func(of []made) []fsm.Command { return w.reports(of, tearDown) })
}

// apart makes entries of at most group leases and applies them.
func (w *world) apart(s *spent, leases []made, group int, commands func([]made) []fsm.Command) error {
	var entries []*raft.Log
	for at := 0; at < len(leases); at += group {
		e, err := w.entry(commands(leases[at:min(len(leases), at+group)])...)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	return w.timed(s, len(leases), entries)
}

// timed applies entries and adds what that took.
func (w *world) timed(s *spent, n int, entries []*raft.Log) error {
	outs := make([]any, len(entries))
	bytes := allocated()
	cpu, start := cpuTime(), time.Now()
	for i, e := range entries {
		outs[i] = w.m.Apply(e)
	}
	s.wall += time.Since(start)
	s.cpu += cpuTime() - cpu
	s.bytes += allocated() - bytes
	s.n += n
	for _, out := range outs {
		if err := check(out); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	return nil
}
