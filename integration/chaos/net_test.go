package chaos

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
	"github.com/grafos/grafos/integration/internal/netlab"
)

func names(nodes []*fleet.Node) []string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return list
}

// healNet makes the whole network perfect at one moment.
func healNet(r *run) heal {
	return func(context.Context) error {
		r.fleet.Net.Heal()
		return nil
	}
}

// partition splits the schedulers; every cell is on one of the sides, the user on both.
func partition(_ context.Context, r *run, f fault) (heal, error) {
	rng := f.rng()
	order := rng.Perm(len(r.fleet.Schedulers))
	few := 1 + rng.IntN(len(order)/2) // of 5 one or two
	var sides [2][]string
	for i, at := range order {
		side := 0
		if i < few {
			side = 1
		}
		sides[side] = append(sides[side], r.fleet.Schedulers[at].Name)
	}
	for _, c := range r.fleet.Cells {
		side := rng.IntN(2)
		sides[side] = append(sides[side], c.Name)
	}
	r.fleet.Net.Change(func(n *netlab.Net) { n.Split(sides[0], sides[1]) })
	return healNet(r), nil
}

// isolateLeader cuts the leader off from the other schedulers; cells and users still reach it.
func isolateLeader(ctx context.Context, r *run, _ fault) (heal, error) {
	leader, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	r.fleet.Net.Change(func(n *netlab.Net) { n.Split([]string{leader.Name}, names(r.others(leader))) })
	return healNet(r), nil
}

// cutWayOut lets the leader hear the others, but not be heard by them.
func cutWayOut(ctx context.Context, r *run, _ fault) (heal, error) {
	return oneWay(ctx, r, func(n *netlab.Net, leader, other string) { n.Link(leader, other).Cut = true })
}

// cutWayIn lets the leader be heard, but hear nobody.
func cutWayIn(ctx context.Context, r *run, _ fault) (heal, error) {
	return oneWay(ctx, r, func(n *netlab.Net, leader, other string) { n.Link(other, leader).Cut = true })
}

func oneWay(ctx context.Context, r *run, cut func(n *netlab.Net, leader, other string)) (heal, error) {
	leader, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	r.fleet.Net.Change(func(n *netlab.Net) {
		for _, o := range r.others(leader) {
			cut(n, leader.Name, o.Name)
		}
	})
	return healNet(r), nil
}

// bridge leaves one scheduler that reaches everybody, between two sides that do not reach
// each other.
func bridge(_ context.Context, r *run, f fault) (heal, error) {
	order := f.rng().Perm(len(r.fleet.Schedulers))
	var sides [2][]string
	for i, at := range order[1:] {
		sides[i%2] = append(sides[i%2], r.fleet.Schedulers[at].Name)
	}
	r.fleet.Net.Change(func(n *netlab.Net) { n.Split(sides[0], sides[1]) })
	return healNet(r), nil
}

// cutCell cuts a cell off from every scheduler: both ways, or one. Its users still reach it,
// and it ends what they hold in time without being told (L6).
func cutCell(ctx context.Context, r *run, f fault) (heal, error) {
	cell := r.cell(f)
	held, err := r.leaseOn(ctx, cell, time.Second)
	if err != nil {
		return nil, err
	}
	way := f.rng().IntN(3)
	r.fleet.Net.Change(func(n *netlab.Net) {
		for _, s := range r.fleet.Schedulers {
			n.Link(cell.Name, s.Name).Cut = way != 1
			n.Link(s.Name, cell.Name).Cut = way != 2
		}
	})
	if held == nil {
		return healNet(r), nil
	}
	if err := harness.Pause(ctx, time.Until(held.granted.Add(time.Second+api.TeardownBound+held.slack))); err != nil {
		return nil, err
	}
	if _, err := harness.Read(ctx, r.load.data, held.Grant, 16); err == nil {
		r.load.book.fault("L6: lease %s of 1 s was still served by cell %s %s after its grant", held.ID, cell.Name, time.Since(held.granted))
	}
	return healNet(r), nil
}

// badNetwork makes every link bad in its own way.
func badNetwork(_ context.Context, r *run, f fault) (heal, error) {
	rng := f.rng()
	hosts := append(names(r.fleet.Schedulers), names(r.fleet.Cells)...)
	r.fleet.Net.Change(func(n *netlab.Net) {
		for _, a := range hosts {
			for _, b := range hosts {
				if a != b {
					*n.Link(a, b) = badLink(rng)
				}
			}
		}
	})
	return healNet(r), nil
}

// badLink is worse than what a scheduler should be given, and better than none.
func badLink(rng *rand.Rand) netlab.Link {
	k := netlab.Link{
		Delay: time.Duration(rng.Int64N(int64(15 * ms))), Jitter: time.Duration(rng.Int64N(int64(15 * ms))),
		Loss: rng.Float64() * 0.05, Duplicate: rng.Float64() * 0.05, Reorder: rng.Float64() * 0.1,
	}
	if rng.IntN(3) == 0 {
		k.Rate = 2_000_000 + rng.Int64N(8_000_000)
	}
	return k
}
