package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/internal/herd"
)

// What a process of cells is asked.
const (
	doCount = "count"
	doHush  = "hush"
	doLoud  = "loud"
	doKill  = "kill" // so many as Outstanding says
)

// tend is a process of cells: it starts them at once, and then does what it is asked.
func tend(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("herd", flag.ContinueOnError)
	flags.SetOutput(errOut)
	material := flags.String("material", "", "the cluster's")
	urls := flags.String("urls", "", "of the schedulers")
	first := flags.Int("first", 0, "number of the first cell")
	cells := flags.Int("cells", 0, "how many")
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(400) // what the cells cost is not what is measured
	// Cells of a real fleet have processors of their own: here the schedulers come first.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, herdNice); err != nil {
		return fmt.Errorf("take less of the processors: %w", err)
	}
	m, err := pki.LoadMaterial(*material)
	if err != nil {
		return err
	}
	h := herd.Start(ctx, herd.Config{Material: m, URLs: strings.Split(*urls, ","), Provider: provider, First: *first, Cells: *cells})
	defer h.Close()
	return child.Serve(ctx, in, out, func(_ context.Context, r child.Request) (child.Answer, error) {
		switch r.Do {
		case doCount:
		case doHush, doLoud:
			h.Hush(r.Do == doHush)
		case doKill:
			h.Kill(r.Outstanding)
		default:
			return child.Answer{}, fmt.Errorf("a herd does not know %q", r.Do)
		}
		return told(h.Counts()), nil
	})
}

// herdNice is by how much a process of cells steps back.
const herdNice = 10

const provider = api.ProviderID("local")

func told(c herd.Counts) child.Answer {
	return child.Answer{First: c.First, Counts: map[string]int64{
		"alive": c.Alive, "registered": c.Registered, "active": c.Active, "standby": c.Standby,
		"lost": c.Lost, "beats": c.Beats, "failed": c.Failed, "bound": c.Bound, "ended": c.Ended,
		"dialed": c.Dialed, "late active": c.LateActive, "late standby": c.LateStandby, "refused": c.Refused, "cut": c.Cut,
	}}
}
