// Command bench prints the numbers that grafOS is judged by, measured on this machine from
// the outside: real processes, real disks, the whole way of every request. Absolute figures
// are this machine's; the ratios printed beside them are what to compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/integration/bench/internal/member"
	"github.com/grafos/grafos/integration/internal/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// benchTime bounds all of it; on a machine of its own it takes about twenty minutes.
const benchTime = 45 * time.Minute

// bench is one run of the benchmarks.
type bench struct {
	out   io.Writer
	bin   string
	peers string // the program that is etcd
	state string // the program of integration/bench/state
	only  string
	quick bool           // everything once, to see that it runs
	kinds *regexp.Regexp // what is profiled
	aims  []aim
}

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && args[0] == "member" {
		if err := member.Run(ctx, args[1:], in, out, errOut); err != nil {
			_, _ = fmt.Fprintln(errOut, "member:", err) // nobody is left to tell
			return 1
		}
		return 0
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := &bench{out: out}
	flags.StringVar(&b.bin, "grafos", "bin/grafos", "the program")
	flags.StringVar(&b.peers, "peers", "bin/bench-peers", "the program of integration/bench/peers; empty is that fail-over is measured without a peer")
	flags.StringVar(&b.state, "state", "bin/bench-state", "the program of integration/bench/state")
	flags.StringVar(&b.only, "only", "", "one part, or several with commas: "+strings.Join(names(b.parts()), ", "))
	flags.BoolVar(&b.quick, "quick", false, "measure as little as there is to be measured: to see that it runs")
	kinds := flags.String("kinds", "", "profile only what matches: commit-1, commit-256, reads-linearizable, reads-stale, admissions, batches; for steady one, batch, line")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	var err error
	if b.kinds, err = regexp.Compile(*kinds); err != nil {
		_, _ = fmt.Fprintln(errOut, "bench:", err)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, benchTime)
	defer cancel()
	return b.all(ctx)
}

// part is a benchmark that can be run alone.
type part struct {
	name string
	do   func(context.Context) error
}

func (b *bench) parts() []part {
	return []part{
		{"start", b.start},
		{"memory", b.memory},
		{"state", b.stateAlone},
		{"commit", b.commit},
		{"tls", b.tlsCosts},
		{"admissions", b.admissions},
		{"reads", b.reads},
		{"dataplane", b.dataplane},
		{"teardown", b.teardown},
		{"failover", b.failover},
		{"both", b.both},
		{"runs", b.runs},
		{profilePart, b.profile},
		{steadyPart, b.steady},
	}
}

// profilePart measures nothing that could be compared; it is run only when it is asked for.
const profilePart = "profile"

func names(parts []part) []string {
	var list []string
	for _, p := range parts {
		list = append(list, p.name)
	}
	return list
}

// all runs the parts that were asked for. One that fails does not keep the others from
// running.
func (b *bench) all(ctx context.Context) int {
	parts := b.parts()
	if b.only != "" {
		want := strings.Split(b.only, ",")
		for _, name := range want {
			if !slices.Contains(names(parts), name) {
				b.say("%q is none of %s", name, strings.Join(names(parts), ", "))
				return 2
			}
		}
		parts = slices.DeleteFunc(parts, func(p part) bool { return !slices.Contains(want, p.name) })
	} else {
		parts = slices.DeleteFunc(parts, func(p part) bool { return p.name == profilePart || p.name == steadyPart })
	}
	b.versions(ctx)
	code, began := 0, time.Now()
	for _, p := range parts {
		at := time.Now()
		if err := p.do(ctx); err != nil {
			b.say("%s: %v", p.name, err)
			code = 1
		}
		b.say("(%s took %s)", p.name, time.Since(at).Round(time.Second))
	}
	b.summary()
	b.say("\nall of it took %s", time.Since(began).Round(time.Second))
	return code
}

// stateAlone: the state machine in a process of its own, without a disk or a network.
func (b *bench) stateAlone(ctx context.Context) error {
	b.title("the state machine alone: Apply, memory and snapshots at 1,000,000 leases")
	args := []string{}
	if b.quick {
		args = []string{"-leases", "50000", "-keys", "30000", "-grants", "5000"}
	}
	cmd := exec.CommandContext(ctx, b.state, args...)
	cmd.Stdout, cmd.Stderr = b.out, b.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", b.state, err)
	}
	return nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...) // a bench whose output is gone has no reader
}

// cluster runs do in a fresh cluster of three schedulers and takes it down. Of one in which
// something went wrong the logs are kept.
func (b *bench) cluster(ctx context.Context, cells int, do func(*harness.Cluster) error) error {
	dir, err := os.MkdirTemp("", "grafos-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	c, err := harness.Up(ctx, b.bin, dir, 3, cells)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := errors.Join(do(c), c.Down(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("%w; the logs are in %s", err, filepath.Join(c.DevDir(), "logs"))
	}
	return os.RemoveAll(dir)
}

// spread prints the median and the range of durations.
func spread(d []time.Duration) string {
	s := slices.Sorted(slices.Values(d))
	return fmt.Sprintf("median %s (%s to %s, n=%d)", short(s[len(s)/2]), short(s[0]), short(s[len(s)-1]), len(s))
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// title begins a part, with the state that it finds the machine in.
func (b *bench) title(text string) {
	b.say("\n%s\n%s", text, strings.Repeat("-", len(text)))
	b.machine()
}
