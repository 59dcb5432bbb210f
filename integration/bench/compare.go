package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/bench/internal/proc"
)

// contender is a system under one kind of load. Its members' processes are those whose
// processor time a thing that it does is charged with.
type contender struct {
	name string
	run  func(ctx context.Context, s load.Spec) (load.Run, error)
	pids func() []int
	// rest is what the system needs after a load before others are measured.
	rest time.Duration
}

// result is what was measured of a contender under one load.
type result struct {
	load.Series
	cpu []float64 // ms of processor time for each thing done, by run
	// again counts the runs that were made again, and why is the last one's first failure.
	again int
	why   error
}

// contest runs every contender under every load reps times, in a new order each time, so
// that whatever else the machine does hits all of them alike.
func (b *bench) contest(ctx context.Context, reps int, loads []load.Spec, all []contender) (map[string]map[int]*result, error) {
	if b.quick {
		reps = 1
	}
	results := map[string]map[int]*result{}
	for _, c := range all {
		results[c.name] = map[int]*result{}
		for _, l := range loads {
			results[c.name][l.Outstanding] = &result{}
		}
	}
	for range reps {
		for _, li := range rand.Perm(len(loads)) {
			for _, ci := range rand.Perm(len(all)) {
				c, l := all[ci], loads[li]
				if err := measure(ctx, c, l, results[c.name][l.Outstanding]); err != nil {
					return nil, fmt.Errorf("%s at %d outstanding: %w", c.name, l.Outstanding, err)
				}
			}
		}
	}
	return results, nil
}

// attempts is how often a run is made in which something failed: where a leader was lost to
// a busy machine, there is nothing to compare. The last one counts as it is.
const attempts = 3

func measure(ctx context.Context, c contender, l load.Spec, into *result) error {
	for n := 1; ; n++ {
		run, cpu, err := measureOnce(ctx, c, l)
		switch {
		case err != nil:
			return err
		case run.Failed > 0 && n < attempts:
			into.again++
			into.why = run.First
			continue
		case len(run.Took) == 0:
			return errors.Join(errors.New("nothing was done"), run.First)
		}
		into.Series = append(into.Series, run)
		into.cpu = append(into.cpu, float64(cpu.Microseconds())/1000/float64(len(run.Took)*max(run.Each, 1)))
		return nil
	}
}

// measureOnce makes a load, and counts the processor time that the contender takes in its window: in
// the steady state, when as much ends as begins.
func measureOnce(ctx context.Context, c contender, l load.Spec) (run load.Run, cpu time.Duration, err error) {
	counted := make(chan error, 1)
	go func() {
		var err error
		cpu, err = cpuWithin(ctx, c.pids(), l)
		counted <- err
	}()
	run, err = c.run(ctx, l)
	if err := errors.Join(err, <-counted); err != nil {
		return run, 0, err
	}
	return run, cpu, pause(ctx, c.rest)
}

// cpuWithin is the processor time that processes take in the window of a load that begins now.
func cpuWithin(ctx context.Context, pids []int, l load.Spec) (time.Duration, error) {
	if err := pause(ctx, l.Warm); err != nil {
		return 0, err
	}
	before, err := cpuOf(pids)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, l.Window); err != nil {
		return 0, err
	}
	after, err := cpuOf(pids)
	return after - before, err
}

func cpuOf(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		d, err := proc.CPU(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// table prints what was measured, a line for every contender and load.
func (b *bench) table(results map[string]map[int]*result, loads []load.Spec, all []contender) {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	b.row(w, "outstanding", "system", "median/s", "least", "most", "p50 ms", "p99 ms", "CPU ms each", "failed")
	var notes []string
	for _, l := range loads {
		for _, c := range all {
			r := results[c.name][l.Outstanding]
			mid, least, most := r.PerSecond()
			failed, first := r.Failed()
			if r.again > 0 {
				notes = append(notes, fmt.Sprintf("%d runs of %s at %d were made again: %.200v", r.again, c.name, l.Outstanding, r.why))
			}
			if first != nil {
				notes = append(notes, fmt.Sprintf("the first failure of %s at %d: %.200v", c.name, l.Outstanding, first))
			}
			b.row(w, l.Outstanding, c.name, fmt.Sprintf("%.0f", mid), fmt.Sprintf("%.0f", least), fmt.Sprintf("%.0f", most),
				ms(r.Latency(50)), ms(r.Latency(99)), fmt.Sprintf("%.3f", load.Median(r.cpu)), failed)
		}
	}
	_ = w.Flush() // as in say
	for _, n := range notes {
		b.say("%s", n)
	}
}

func (b *bench) row(w *tabwriter.Writer, cells ...any) {
	for _, c := range cells {
		_, _ = fmt.Fprintf(w, "%v\t", c)
	}
	_, _ = fmt.Fprintln(w)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

// aim is a ratio with what it should be: at least, or with most at most, want; 0 is no aim.
type aim struct {
	name    string
	clients int
	got     float64
	want    float64
	most    bool
}

func (a aim) met() bool {
	if a.most {
		return a.got <= a.want
	}
	return a.got >= a.want
}

// ratio prints a comparison in the one form that programs read, and keeps it for the summary.
func (b *bench) ratio(name string, clients int, ours, theirs, want float64) {
	r := 0.0
	if theirs > 0 {
		r = ours / theirs
	}
	b.say("ratio %s clients=%d ours=%s etcd=%s ratio=%.2f", name, clients, figure(ours), figure(theirs), r)
	b.aims = append(b.aims, aim{name: name, clients: clients, got: r, want: want})
}

// atMost keeps a figure of our own that has an upper bound for the summary.
func (b *bench) atMost(name string, clients int, got, want float64) {
	b.aims = append(b.aims, aim{name: name, clients: clients, got: got, want: want, most: true})
}

func figure(v float64) string {
	if v < 1000 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// summary lists every figure that has an aim.
func (b *bench) summary() {
	if len(b.aims) == 0 {
		return
	}
	b.say("\naims\n----")
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	b.row(w, "what", "clients", "measured", "aim", "")
	for _, a := range b.aims {
		sign, verdict := ">=", "met"
		if a.most {
			sign = "<="
		}
		if !a.met() {
			verdict = "missed"
		}
		want := sign + fmt.Sprintf(" %.2f", a.want)
		if a.want == 0 && !a.most {
			want, verdict = "none", ""
		}
		b.row(w, a.name, a.clients, fmt.Sprintf("%.2f", a.got), want, verdict)
	}
	_ = w.Flush() // as in say
}
