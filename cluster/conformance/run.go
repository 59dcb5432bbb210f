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
	Execute(ctx context.Context, w Work) (api.RunAnswer, error)
}

// Work is a run of the suite.
type Work struct {
	Module    []byte
	Resources api.Resources
	TTL       time.Duration
	// Egress is the allow-list of its net lease.
	Egress []string
	// Begun is told the leases of the run when they are decided; nil is nobody.
	Begun func(map[api.LeaseKind]api.LeaseID)

	call *call // what the module does
}

const (
	checkRan    = "ran"
	checkKilled = "killed_at_its_end"
)

// runMem is the memory of a run.
const runMem = 4 << 20

// runs is what a run of this kind asks for, with so much of the kind itself, or why there is none. Each kind may have one at a
// time, beside the leases.
func (p *probe) runs(amount int64) (api.Resources, string) {
	list := offered(&p.Cell)
	share := func(pl plan) int64 { return min(pl.amount, p.Free.Get(pl.kind)) }
	cpu, at, before := int64(0), int64(0), true
	for _, pl := range list {
		if pl.kind == api.KindCPU {
			cpu = share(pl)
		}
		if before && (pl.use != nil || pl.alone != nil) {
			at++
		}
		before = before && pl.kind != p.kind
	}
	if cpu == 0 || p.Free.Get(api.KindCPU) < (1+at)*cpu || p.Free.Get(api.KindMem) < at*runMem+2*size {
		return api.Resources{}, noRoom
	}
	return api.Resources{CPU: cpu, Mem: runMem}.With(p.kind, amount), ""
}

const noRoom = "the cell has no room for a run beside a lease"

// useCPU runs tasklets: one that says something and ends, and one that never ends by itself.
func useCPU(ctx context.Context, p *probe) {
	ask, why := p.runs(p.amountOf())
	if why != "" {
		p.tell(api.ConformanceCheck{Name: checkRan, Kind: p.kind, OK: true, Want: greeting, Skipped: why})
		return
	}
	p.check(ctx, checkRan, fmt.Sprintf("succeeded, and says %q", greeting), func(ctx context.Context) (string, bool, error) {
		a, err := p.Fabric.Execute(ctx, Work{Module: greets(), Resources: ask, TTL: leaseTime})
		if err != nil {
			return "", false, err
		}
		return ranAs(a) + fmt.Sprintf(", and says %.40q", a.Output), a.State == api.RunSucceeded && a.Output == greeting && wiped(a), nil
	})
	p.check(ctx, checkKilled, "expired, and torndown within "+(shortest+hears).String(), func(ctx context.Context) (string, bool, error) {
		began := p.Clock.Now()
		a, err := p.Fabric.Execute(ctx, Work{Module: loops(), Resources: ask, TTL: shortest})
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
