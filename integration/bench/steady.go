package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

// steadyPart says in microseconds what an admission costs the schedulers and the cells; like a profile, it
// compares nothing.
const steadyPart = "steady"

// steadyTime is how long a profile of the steady state is.
const steadyTime = 12 * time.Second

// steady: the processor time of an admission in the steady state, in all three schedulers
// together, and in all cells together, divided by what it is spent on.
func (b *bench) steady(ctx context.Context) error {
	dir := filepath.Join(filepath.Dir(b.bin), "profiles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	b.title("what an admission costs the schedulers and the cells in the steady state")
	return b.looked(ctx, func(c *harness.Cluster, debug []debugAddr, d *door) error {
		for _, kind := range []struct {
			name string
			run  func(context.Context, load.Spec) (load.Run, error)
		}{
			{"one", d.admit},
			{"batch", d.admitBatches(profileLoad / batchOf)},
			{"line", d.admitBatches(profileLoad)}, // most of them wait for room
		} {
			if !b.kinds.MatchString(kind.name) {
				continue
			}
			if err := b.steadyOf(ctx, c, d, debug, dir, kind.name, kind.run); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) steadyOf(ctx context.Context, c *harness.Cluster, d *door, debug []debugAddr, dir, name string,
	do func(context.Context, load.Spec) (load.Run, error),
) error {
	// The whole of a load first, from rest to rest, then another one that is looked into.
	all := contender{name: name, run: do, pids: d.pids, rest: admitTTL + 500*time.Millisecond}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	others := []int{os.Getpid()}
	for _, n := range s.Cells {
		others = append(others, n.PID)
	}
	var before, after [2]time.Duration
	if err := cpuOfBoth(others, &before); err != nil {
		return err
	}
	began, err := d.index(ctx)
	if err != nil {
		return err
	}
	plain, cpu, err := measureOnce(ctx, all, load.Spec{Outstanding: profileLoad, Warm: admitTTL, Window: steadyTime})
	if err != nil {
		return err
	}
	if err := cpuOfBoth(others, &after); err != nil {
		return err
	}
	ended, err := d.index(ctx)
	if err != nil {
		return err
	}
	each := max(plain.Each, 1)
	done, inWindow := max(float64(plain.Done*each), 1), max(float64(len(plain.Took)*each), 1)
	b.say("\n%s: %.0f a second, %d failed (%.200v), p50 %s ms, p99 %s ms", name, plain.PerSecond(), plain.Failed, plain.First,
		ms(load.Percentile(plain.Took, 50)), ms(load.Percentile(plain.Took, 99)))
	b.say("processor time each: schedulers %.0f us in the window, clients %.0f us, cells %.0f us; %.1f admissions an entry of the log", float64(cpu.Microseconds())/inWindow,
		float64((after[0]-before[0]).Microseconds())/done, float64((after[1]-before[1]).Microseconds())/done, done/max(float64(ended-began), 1))

	var files []string
	var wg sync.WaitGroup
	errs := make([]error, len(debug)+1)
	var run load.Run
	wg.Go(func() {
		run, errs[len(debug)] = do(ctx, load.Spec{Outstanding: profileLoad, Warm: admitTTL, Window: profileTime})
	})
	if err := pause(ctx, admitTTL); err != nil {
		return err
	}
	for i, at := range debug {
		file := filepath.Join(dir, "steady-"+name+"-"+at.name+".prof")
		files = append(files, file)
		wg.Go(func() { errs[i] = fetchProfile(ctx, at.addr, file) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	things := run.PerSecond() * profileTime.Seconds()
	n := slices.IndexFunc(debug, func(a debugAddr) bool { return a.cell })
	if err := b.costs(ctx, debug[:n], files[:n], shares(), things); err != nil {
		return err
	}
	return b.costs(ctx, debug[n:], files[n:], cellShares(), things)
}

// costs prints the shares of profiles in microseconds for each of so many things.
func (b *bench) costs(ctx context.Context, debug []debugAddr, files []string, kinds [][2]string, things float64) error {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []any{"us each"}
	for _, d := range debug {
		head = append(head, d.name)
	}
	b.row(w, append(head, "all")...)
	var each [][]trace
	for _, f := range files {
		traces, err := readTraces(ctx, f)
		if err != nil {
			return err
		}
		each = append(each, traces)
	}
	for _, s := range append([][2]string{{"everything", "."}}, kinds...) {
		work := regexp.MustCompile(s[1])
		row, sum := []any{s[0]}, 0.0
		for _, traces := range each {
			us := float64(below(traces, work).Microseconds()) / max(things, 1)
			sum += us
			row = append(row, fmt.Sprintf("%.1f", us))
		}
		b.row(w, append(row, fmt.Sprintf("%.1f", sum))...)
	}
	_ = w.Flush() // as in say
	return nil
}

// index is where the log has come to.
func (d *door) index(ctx context.Context) (uint64, error) {
	a, err := d.clients[0].ListProviders(ctx, api.ReadOptions{})
	if err != nil {
		return 0, err
	}
	return a.Index, nil
}

// cpuOfBoth is the processor time of this process and of all the others.
func cpuOfBoth(pids []int, into *[2]time.Duration) (err error) {
	if into[0], err = cpuOf(pids[:1]); err == nil {
		into[1], err = cpuOf(pids[1:])
	}
	return err
}
