// Command cells says what a fleet of simulated cells costs three schedulers, and whether they keep
// what they promise to it: that they go on admitting, that heartbeats stay out of the log and cost
// their leader little, that dead cells are noticed, and that everybody is back soon after one of them
// was killed. It ends with 1 where one of its assertions misses.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// benchTime bounds all of it; it takes about four minutes on a machine of its own.
const benchTime = 10 * time.Minute

// bench is one run.
type bench struct {
	out      io.Writer
	bin      string
	cells    int
	herds    int
	profiles string
	raft     time.Duration
	missed   int
}

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && args[0] == "herd" {
		if err := tend(ctx, args[1:], in, out, errOut); err != nil {
			_, _ = fmt.Fprintln(errOut, "herd:", err) // nobody is left to tell
			return 1
		}
		return 0
	}
	b := &bench{out: out}
	flags := flag.NewFlagSet("cells", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&b.bin, "grafos", "bin/grafos", "the program")
	flags.IntVar(&b.cells, "cells", 10_000, "how many cells")
	flags.IntVar(&b.herds, "herds", 3, "in how many processes they live")
	flags.StringVar(&b.profiles, "profiles", "", "a folder for a CPU profile of the leader in each part; empty is none")
	flags.DurationVar(&b.raft, "raft", 0, "for how long the schedulers miss their leader before they elect another, on a machine that is busy with other work; 0 is their default")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if b.cells < leastCells || b.herds < 1 || b.cells/b.herds > mostInHerd {
		_, _ = fmt.Fprintf(errOut, "cells: there must be %d cells or more, and at most %d in each herd\n", leastCells, mostInHerd)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, benchTime)
	defer cancel()
	began := time.Now()
	if err := b.all(ctx); err != nil {
		b.say("cells: %v", err)
		return 1
	}
	b.say("\nall of it took %s; %d assertions missed", time.Since(began).Round(time.Second), b.missed)
	if b.missed > 0 {
		return 1
	}
	return 0
}

const (
	leastCells = 100
	// mostInHerd leaves the descriptors of one process room: a cell has two connections, and for a
	// moment three.
	mostInHerd = 6000
)

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...) // a bench whose output is gone has no reader
}

// holds prints an assertion with its figure.
func (b *bench) holds(ok bool, format string, args ...any) {
	word := "ok  "
	if !ok {
		word = "MISS"
		b.missed++
	}
	b.say("  %s %s", word, fmt.Sprintf(format, args...))
}
