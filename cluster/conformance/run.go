package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// Runs executes tasklets on the suite's cell.
type Runs interface {
	// Execute runs a module under leases of its own, and returns its record when the run and all of its leases
	// have ended, or as it is when ctx ends: its leases are given back then.
	Execute(ctx context.Context, module []byte, r api.Resources, ttl time.Duration) (api.RunAnswer, error)
}

const (
	checkRan    = "ran"
	checkKilled = "killed_at_its_end"
)

// runMem is the memory of a run.
const runMem = 4 << 20

// useCPU runs tasklets: one that says something and ends, and one that never ends by itself.
func useCPU(ctx context.Context, p *probe) {
	if p.Free.Get(api.KindCPU) < 2*p.amountOf() || p.Free.Get(api.KindMem) < runMem+2*size {
		p.tell(api.ConformanceCheck{Name: checkRan, Kind: p.kind, OK: true, Want: greeting, Skipped: "the cell has no room for a run beside a lease"})
		return
	}
	ask := api.Resources{CPU: p.amountOf(), Mem: runMem}
	p.check(ctx, checkRan, fmt.Sprintf("succeeded, and says %q", greeting), func(ctx context.Context) (string, bool, error) {
		a, err := p.Fabric.Execute(ctx, greets(), ask, leaseTime)
		if err != nil {
			return "", false, err
		}
		return ranAs(a) + fmt.Sprintf(", and says %.40q", a.Output), a.State == api.RunSucceeded && a.Output == greeting && wiped(a), nil
	})
	p.check(ctx, checkKilled, "expired, and torndown within "+(shortest+hears).String(), func(ctx context.Context) (string, bool, error) {
		began := p.Clock.Now()
		a, err := p.Fabric.Execute(ctx, loops(), ask, shortest)
		if err != nil {
			return "", false, err
		}
		took := p.Clock.Now().Sub(began)
		return fmt.Sprintf("%s after %s", ranAs(a), took.Round(time.Millisecond)), a.State == api.RunExpired && wiped(a) && took < shortest+hears+slack, nil
	})
}

// slack is what the way of a run's result may take, beyond the end of its work.
const slack = 2 * time.Second

// ranAs puts the end of a run into words.
func ranAs(a api.RunAnswer) string {
	words := []string{string(a.State)}
	if a.Failure.Kind != "" {
		words[0] += " (" + string(a.Failure.Kind) + ": " + a.Failure.Message + ")"
	}
	for _, l := range a.Leases {
		if l.State != api.LeaseTornDown {
			words = append(words, fmt.Sprintf("its %s lease %s", l.Kind, l.State))
		}
	}
	return strings.Join(words, ", ")
}

// wiped reports whether nothing of a run is left.
func wiped(a api.RunAnswer) bool {
	return len(a.Leases) > 0 && !slices.ContainsFunc(a.Leases, func(l api.Lease) bool { return l.State != api.LeaseTornDown })
}
