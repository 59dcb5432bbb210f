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
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }

const benchTime = 20 * time.Minute

// bench is one run of the benchmarks.
type bench struct {
	out  io.Writer
	bin  string
	only string
}

func run(args []string, out io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := &bench{out: out}
	flags.StringVar(&b.bin, "grafos", "bin/grafos", "the program")
	flags.StringVar(&b.only, "only", "", "one of start, failover, both, admissions, runs, memory")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, benchTime)
	defer cancel()
	b.disk()
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"start", b.start},
		{"memory", b.memory},
		{"admissions", b.admissions},
		{"failover", b.failover},
		{"both", b.both},
		{"runs", b.runs},
	} {
		if b.only != "" && b.only != part.name {
			continue
		}
		if err := part.do(ctx); err != nil {
			b.say("%s: %v", part.name, err)
			return 1
		}
	}
	return 0
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...) // a bench whose output is gone has no reader
}

// cluster runs do in a fresh cluster of three schedulers and takes it down.
func (b *bench) cluster(ctx context.Context, cells int, do func(*harness.Cluster) error) error {
	dir, err := os.MkdirTemp("", "grafos-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	c, err := harness.Up(ctx, b.bin, dir, 3, cells)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	err = do(c)
	return errors.Join(err, c.Down(context.WithoutCancel(ctx)), os.RemoveAll(dir))
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

func percentile(d []time.Duration, p int) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, len(s)*p/100)]
}

func (b *bench) title(text string) { b.say("\n%s\n%s", text, strings.Repeat("-", len(text))) }
