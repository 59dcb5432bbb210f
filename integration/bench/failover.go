package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

// fault is one way in which a leader ends, with how often it is done to each side.
type fault struct {
	name, label  string
	ours, theirs int
	// ends says that the leader's process is gone afterwards.
	ends bool
	// begin does it: no write that begins afterwards finds the leader untouched. finish waits
	// for what takes longer.
	begin func(ctx context.Context, v victim, leader int) (finish func() error, err error)
	// figure picks what counts: what comes next, or the silence.
	figure func(outcome) time.Duration
	// median and worst are the aims; 0 is none.
	median, worst time.Duration
}

const (
	// crowdSize is how many clients write while leaders end.
	crowdSize = 16
	// rounds is in how many parts the faults of every kind are done.
	rounds = 5
)

func faults() []fault {
	next := func(o outcome) time.Duration { return o.next }
	silence := func(o outcome) time.Duration { return o.silence }
	send := func(sig syscall.Signal) func(context.Context, victim, int) (func() error, error) {
		return func(_ context.Context, v victim, leader int) (func() error, error) {
			return func() error { return nil }, v.signal(leader, sig)
		}
	}
	return []fault{
		{
			name: "kill -9 of the leader", label: "failover-kill-ms", ours: 50, theirs: 10, ends: true,
			begin: send(syscall.SIGKILL), figure: next, median: 100 * time.Millisecond, worst: 1500 * time.Millisecond,
		},
		{
			name: "SIGSTOP of the leader", label: "failover-stop-ms", ours: 10, theirs: 5,
			begin: send(syscall.SIGSTOP), figure: next, median: 1500 * time.Millisecond,
		},
		{
			name: "SIGTERM of the leader", label: "handover-ms", ours: 20, theirs: 10, ends: true,
			begin: send(syscall.SIGTERM), figure: silence, median: 60 * time.Millisecond,
		},
		{name: "etcd's move-leader", theirs: 10, figure: silence, begin: moveLeader},
	}
}

// moveLeader has etcd's leader hand over; ours does so when it is told to stop.
func moveLeader(ctx context.Context, v victim, leader int) (func() error, error) {
	e, ok := v.(*etcd)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	done := make(chan error, 1)
	go func() { done <- e.moveLeader(ctx, leader) }() // finish waits for it
	return func() error { return <-done }, nil
}

// failover: from a leader's end to the next acknowledged write, under load, as clients with
// warm connections see it. Every round has a fresh cluster of ours: what a member that comes
// back has to apply again grows with what was written.
func (b *bench) failover(ctx context.Context) (err error) {
	b.title(fmt.Sprintf("fail-over under the load of %d clients; ours: admissions, the whole way; etcd: puts", crowdSize))
	var open closing
	defer open.end(&err)
	var other victim
	if b.peers != "" {
		e, err := b.etcd(ctx)
		if err != nil {
			return err
		}
		open.add(e.close)
		other = e
	}
	kinds := faults()
	ours, theirs := make([]toll, len(kinds)), make([]toll, len(kinds))
	for r := range rounds {
		err := b.cluster(ctx, 3, func(c *harness.Cluster) error {
			return b.round(ctx, c, other, r, ours, theirs)
		})
		if err != nil {
			return err
		}
		if b.quick {
			break
		}
	}
	for i, f := range kinds {
		b.tolls(f, &ours[i], &theirs[i])
	}
	b.say("next is from the fault to the first acknowledgement of a write begun after it, silence the longest time without any.")
	b.say("A link cut within one host would need a network of its own; to the others a stopped process is as silent.")
	b.say("made of: a follower's closed connection to the dead leader and its refused redial, one election (two fsyncs), a")
	b.say("barrier and a first entry, then an ordinary admission")
	return nil
}

// round does a part of the faults of every kind, ours and etcd's in turn.
func (b *bench) round(ctx context.Context, c *harness.Cluster, e victim, r int, ours, theirs []toll) (err error) {
	var open closing
	defer open.end(&err)
	g, err := newGrafos(ctx, c)
	if err != nil {
		return err
	}
	open.add(g.close)
	for i, f := range faults() {
		mine, other := slice(f.ours, r), slice(f.theirs, r)
		if b.quick {
			mine, other = min(mine, 1), min(other, 1)
		}
		if err := ours[i].suffer(ctx, g, f, mine); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if e == nil {
			continue
		}
		if err := theirs[i].suffer(ctx, e, f, other); err != nil {
			return fmt.Errorf("%s of etcd: %w", f.name, err)
		}
	}
	return nil
}

// toll is what the faults of one kind did to one side.
type toll struct {
	outcomes     []outcome
	done, failed int // of the crowd
	first        error
}

func (t *toll) collect(figure func(outcome) time.Duration) []time.Duration {
	list := make([]time.Duration, len(t.outcomes))
	for i, o := range t.outcomes {
		list[i] = figure(o)
	}
	return list
}

// wrong counts what clients saw fail, probes and crowd together.
func (t *toll) wrong() (n int, first error) {
	n, first = t.failed, t.first
	for _, o := range t.outcomes {
		n += o.failed
		if first == nil {
			first = o.first
		}
	}
	return n, first
}

// slice is the r-th part of n.
func slice(n, r int) int { return n*(r+1)/rounds - n*r/rounds }

// ramp is for how long the crowd writes before a fault.
const ramp = 500 * time.Millisecond

// suffer does the fault n times to v. A crowd writes before each, through it, and until the
// member is started again; it rests while that catches up, which on few cores is a load of
// its own.
func (t *toll) suffer(ctx context.Context, v victim, f fault, n int) error {
	for range n {
		c := newCrowd(ctx, v, crowdSize)
		err := pause(ctx, ramp)
		if err == nil {
			err = t.once(ctx, v, f)
		}
		c.end()
		t.done, t.failed = t.done+c.done, t.failed+c.failed
		if t.first == nil {
			t.first = c.first
		}
		if err == nil {
			err = v.settle(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *toll) once(ctx context.Context, v victim, f fault) error {
	o, err := strike(ctx, v, f)
	if err != nil {
		return err
	}
	t.outcomes = append(t.outcomes, o)
	return nil
}

func (b *bench) tolls(f fault, ours, theirs *toll) {
	b.say("\n%s", f.name)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	b.row(w, "", "n", "next median ms", "p99", "worst", "silence median ms", "worst", "clients' writes", "errors")
	var notes []string
	for _, side := range []struct {
		name string
		t    *toll
	}{{"grafos", ours}, {"etcd", theirs}} {
		if len(side.t.outcomes) == 0 {
			continue
		}
		next := side.t.collect(func(o outcome) time.Duration { return o.next })
		silence := side.t.collect(func(o outcome) time.Duration { return o.silence })
		wrong, first := side.t.wrong()
		if first != nil {
			notes = append(notes, fmt.Sprintf("the first error at %s's clients: %.200v", side.name, first))
		}
		b.row(w, side.name, len(next), ms(load.Median(next)), ms(load.Percentile(next, 99)), ms(load.Percentile(next, 100)),
			ms(load.Median(silence)), ms(load.Percentile(silence, 100)), side.t.done, wrong)
	}
	_ = w.Flush() // as in say
	for _, n := range notes {
		b.say("%s", n)
	}
	if len(ours.outcomes) == 0 {
		return
	}
	mine, other := ours.collect(f.figure), theirs.collect(f.figure)
	if len(other) > 0 {
		b.ratio(f.label, crowdSize, float64(load.Median(mine).Microseconds())/1000, float64(load.Median(other).Microseconds())/1000, 0)
	}
	b.atMost(f.label+" median", crowdSize, float64(load.Median(mine).Microseconds())/1000, float64(f.median.Milliseconds()))
	if f.worst > 0 {
		b.atMost(f.label+" worst", crowdSize, float64(load.Percentile(mine, 100).Microseconds())/1000, float64(f.worst.Milliseconds()))
	}
	wrong, _ := ours.wrong()
	b.atMost(f.label+" errors", crowdSize, float64(wrong), 0)
}
