package conformance

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/grafos/grafos/api"
)

const (
	checkExclusive = "exclusive"
	checkOrdinals  = "ordinals"
)

// useGPU takes gpus beside and behind each other, and one for a run. No tasklet has a device in its hands: which one is
// its lease's says the cell in the lease's coordinate.
func useGPU(ctx context.Context, p *probe) {
	p.check(ctx, checkExclusive, "another gpu while the first lease lives, and the same behind it", p.exclusive)
	p.check(ctx, checkOrdinals, "the gpus that were decided on", p.ordinals)
}

// exclusive takes a gpu, another one beside it, and the first again. Whatever it finds, the others are not in need of
// what it took.
func (p *probe) exclusive(ctx context.Context) (got string, ok bool, err error) {
	taken := map[api.LeaseID]bool{}
	defer func() {
		for id := range taken {
			said, gone, failure := p.end(ctx, id)
			if ok && err == nil && (!gone || failure != nil) {
				got, ok, err = said, gone, failure
			}
		}
	}()
	gpu := func() (*leasedGPU, error) {
		g, err := p.gpu(ctx)
		if g != nil {
			taken[g.id] = true
		}
		return g, err
	}
	first, err := gpu()
	if err != nil {
		return "", false, err
	}
	second, err := gpu()
	switch {
	case err == nil && slices.ContainsFunc(second.said, func(o int) bool { return slices.Contains(first.said, o) }):
		return fmt.Sprintf("leases of gpu %v and of gpu %v live at one time", first.said, second.said), false, nil
	case err != nil && !noneLeft(err):
		return fmt.Sprintf("beside gpu %v:", first.said), false, err
	}
	delete(taken, first.id)
	if got, ok, err := p.end(ctx, first.id); !ok || err != nil {
		return got, false, err
	}
	again, err := gpu()
	if err != nil {
		return fmt.Sprintf("gpu %v again:", first.decided), false, err
	}
	if second != nil && slices.ContainsFunc(again.said, func(o int) bool { return slices.Contains(second.said, o) }) {
		return fmt.Sprintf("leases of gpu %v and of gpu %v live at one time", second.said, again.said), false, nil
	}
	return fmt.Sprintf("gpu %v, and after its end gpu %v", first.said, again.said), true, nil
}

// noneLeft reports whether a scheduler had nothing to give: there need not be another gpu.
func noneLeft(err error) bool {
	kind := api.KindOf(notTheCells(err))
	return kind == api.NoEligibleProviderCells || kind == api.PlacementFailed
}

// leasedGPU is a lease of gpus: those that were decided on, and those that its cell names.
type leasedGPU struct {
	id            api.LeaseID
	decided, said []int
}

// gpu takes a lease of one.
func (p *probe) gpu(ctx context.Context) (*leasedGPU, error) {
	g, err := p.Fabric.Lease(ctx, api.LeaseRequest{
		Provider: p.Cell.Provider, Tenant: api.ConformanceTenant, Resources: api.Resources{}.With(p.kind, p.amountOf()), TTLMs: leaseTime.Milliseconds(),
	})
	if g.ID != "" {
		p.opened(g.ID)
	}
	if err != nil {
		return nil, err
	}
	l, err := named(g.Lease)
	if err != nil {
		p.giveBack(ctx, g.ID)
	}
	return l, err
}

// giveBack ends a lease of which something else was found out: the checks that come are in need of what it has.
func (p *probe) giveBack(ctx context.Context, id api.LeaseID) { _, _, _ = p.end(ctx, id) }

// named reads which gpus a lease has.
func named(l api.Lease) (*leasedGPU, error) {
	d := l.Terms.Devices()
	if d == nil {
		return nil, NotTheCells(api.Refuse(api.Internal, "it was not decided which gpus lease %s has", l.ID))
	}
	at, err := url.Parse(l.Coordinate)
	if err != nil {
		return nil, api.Refuse(api.Internal, "lease %s has the coordinate %.80q, which is no URL", l.ID, l.Coordinate)
	}
	said, err := api.ParseGPUQuery(at.RawQuery)
	if err != nil {
		return nil, api.Refuse(api.Internal, "lease %s has the coordinate %.80q: %v", l.ID, l.Coordinate, err)
	}
	return &leasedGPU{id: l.ID, decided: d.Devices, said: said.Devices}, nil
}

// end gives a lease back; false is that its cell does not say that it is gone.
func (p *probe) end(ctx context.Context, id api.LeaseID) (string, bool, error) {
	if err := p.Fabric.Free(ctx, id); err != nil {
		return "", false, err
	}
	l, err := p.Fabric.Ended(ctx, id)
	if err == nil && l.State.Terminal() {
		p.closed(id)
	}
	return fmt.Sprintf("lease %s is %s", id, l.State), l.State == api.LeaseTornDown, err
}

// ordinals looks which gpus a lease has, and which a run.
func (p *probe) ordinals(ctx context.Context) (string, bool, error) {
	g, err := p.gpu(ctx)
	if err != nil {
		return "", false, err
	}
	if got, ok := p.right(g); !ok {
		p.giveBack(ctx, g.id)
		return "a lease " + got, false, nil
	}
	if got, ok, err := p.end(ctx, g.id); !ok || err != nil {
		return got, false, err
	}
	ask, why := p.runs(p.amountOf())
	if why != "" {
		return fmt.Sprintf("a lease with gpu %v; no run: %s", g.said, why), true, nil
	}
	a, err := p.Fabric.Execute(ctx, Work{Module: greets(), Resources: ask, TTL: leaseTime})
	if err != nil {
		return "", false, err
	}
	at := slices.IndexFunc(a.Leases, func(l api.Lease) bool { return l.Kind == p.kind })
	if at < 0 || a.State != api.RunSucceeded || !wiped(a) {
		return ranAs(a), false, nil
	}
	if a.Leases[at].Coordinate == "" { // it was over before its cell was heard to have begun
		return fmt.Sprintf("a lease with gpu %v; of a run it is not known", g.said), true, nil
	}
	if g, err = named(a.Leases[at]); err != nil {
		return "", false, err
	}
	got, ok := p.right(g)
	return "a run " + got, ok, nil
}

// right compares what a cell says with what was decided, and with what it has.
func (p *probe) right(g *leasedGPU) (string, bool) {
	beyond := func(o int) bool { return int64(o) >= p.Cell.Capacity.GPU }
	return fmt.Sprintf("with gpu %v, decided was %v", g.said, g.decided), slices.Equal(g.said, g.decided) && !slices.ContainsFunc(g.said, beyond)
}
