// Command state prints the numbers of the replicated state machine alone: how fast it applies
// entries, what a lease takes in memory, and what a snapshot of many leases costs those who
// go on applying. No disk and no network are in it but the snapshot's file.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }

// gcPercent is what a scheduler runs with.
const gcPercent = 200

// bench is one run of the benchmark.
type bench struct {
	out     io.Writer
	leases  int    // of the state whose memory and snapshot are measured
	live    int    // leases of the state that entries are applied to
	cells   int    // they are spread over
	tenants int    // that hold them
	keys    int    // idempotency keys that are there before anything is measured
	grants  int    // that are measured
	entries []int  // how many grants one carries at most
	only    string // one part
	profile string // of the processor, while the parts run
	allocs  string // profile of what was allocated
}

func run(args []string, out io.Writer) int {
	b := &bench{out: out}
	flags := flag.NewFlagSet("state", flag.ContinueOnError)
	flags.IntVar(&b.leases, "leases", 1_000_000, "leases whose memory and snapshot are measured")
	flags.IntVar(&b.live, "live", 100_000, "live leases of the state that entries are applied to")
	flags.IntVar(&b.cells, "cells", 1000, "cells")
	flags.IntVar(&b.tenants, "tenants", 100, "tenants")
	flags.IntVar(&b.keys, "keys", 1_010_000, "idempotency keys that were used before")
	flags.IntVar(&b.grants, "grants", 100_000, "grants that are measured")
	b.entries = []int{maxGroup, 1}
	flags.Func("entries", "measure entries of this many grants only", func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxGroup {
			return fmt.Errorf("an entry carries 1 to %d grants", maxGroup)
		}
		b.entries = []int{n}
		return nil
	})
	flags.StringVar(&b.only, "only", "", "apply, or large: memory and snapshots")
	flags.StringVar(&b.profile, "cpuprofile", "", "write a processor profile to this file")
	flags.StringVar(&b.allocs, "memprofile", "", "write a profile of what was allocated to this file")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := b.all(); err != nil {
		b.say("state: %v", err)
		return 1
	}
	return 0
}

func (b *bench) all() error {
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return fmt.Errorf("make profile: %w", err)
		}
		defer f.Close() //nolint:errcheck // a profile that is not whole says so when it is read
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("start profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	if b.allocs != "" {
		runtime.MemProfileRate = 8 << 10
		defer b.writeAllocs()
	}
	for _, part := range []struct {
		name string
		do   func() error
	}{{"apply", b.apply}, {"large", b.large}} {
		if b.only != "" && b.only != part.name {
			continue
		}
		if err := part.do(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		runtime.GC()
	}
	return nil
}

func (b *bench) writeAllocs() {
	f, err := os.Create(b.allocs)
	if err == nil {
		err = errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
	}
	if err != nil {
		b.say("state: write profile: %v", err)
	}
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...) // a bench whose output is gone has no reader
}
