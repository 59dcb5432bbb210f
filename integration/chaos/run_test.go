package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// The bounds of the liveness phase, from the moment of healing, on a machine that has the time
// (atEase).
const (
	leaderTime = 5 * time.Second  // until there is a leader
	admitTime  = 10 * time.Second // until a new admission succeeds
	wholeTime  = 25 * time.Second // until every scheduler has caught up and every cell is ready
)

// run is one cluster under faults.
type run struct {
	t     *testing.T
	fleet *fleet.Fleet
	load  *load
	admin *client.Client
	alone map[string]*client.Client // of one scheduler each
	rows  []row
	busy  bool     // it was said that the machine is
	said  []string // what was wrong
	// reborn is, by name, the id of each scheduler that set damaged data aside in this phase.
	reborn map[string]api.NodeID
}

func newRun(t *testing.T, f *fleet.Fleet) *run {
	t.Helper()
	r := &run{t: t, fleet: f, load: newLoad(t, f), alone: map[string]*client.Client{}, reborn: map[string]api.NodeID{}}
	r.admin = r.load.client(0, false, 15*time.Second)
	for i, s := range f.Schedulers {
		r.alone[s.Name] = r.load.client(i, true, 10*time.Second)
	}
	return r
}

// wrong fails the test and keeps why.
func (r *run) wrong(format string, args ...any) {
	r.t.Helper()
	why := fmt.Sprintf(format, args...)
	r.said = append(r.said, why)
	r.t.Error(why)
}

// phase lets one fault strike, hold and end, and demands that the cluster recovers.
func (r *run) phase(ctx context.Context, number int, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := r.load.limit(ctx, r.admin, api.TenantID(fmt.Sprintf("tight-%d", number))); err != nil {
		return fmt.Errorf("before %s: %w", f.name, err)
	}
	before, err := r.leader(ctx)
	if err != nil {
		return fmt.Errorf("before %s: %w", f.name, err)
	}
	was := r.ids(ctx)
	clear(r.reborn)
	r.load.book.enter(f.name)
	began := time.Now()
	undo, err := f.inject(ctx, r, f)
	if err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	if err := harness.Pause(ctx, time.Until(began.Add(f.hold))); err != nil {
		return err
	}
	if err := undo(ctx); err != nil {
		return fmt.Errorf("heal %s: %w", f, err)
	}
	healed := time.Now()
	after, err := r.recover(ctx)
	if err != nil {
		return fmt.Errorf("after %s: %w", f, err)
	}
	r.sameIDs(was, r.ids(ctx))
	acked, gap := r.load.book.ackedBetween(began, time.Now())
	r.rows = append(r.rows, row{kind: f.name, gap: gap, acked: acked, terms: after.Term - before.Term, recovery: time.Since(healed)})
	r.t.Logf("%3d %s: %d grants, longest gap %s, %d terms, whole %s after healing", number, f, acked,
		gap.Round(time.Millisecond), after.Term-before.Term, time.Since(healed).Round(time.Millisecond))
	return nil
}

// recover is the liveness phase: a leader, an admission, and everything up again, in time.
func (r *run) recover(ctx context.Context) (*api.NodeState, error) {
	healed := time.Now()
	lead, admit := r.atEase(leaderTime), r.atEase(admitTime)
	bounded, cancel := context.WithTimeout(ctx, lead)
	_, err := r.leader(bounded)
	cancel()
	if err != nil {
		return nil, fmt.Errorf("no leader within %s of healing: %w", lead, err)
	}
	if err := r.admit(ctx, 0, admit-time.Since(healed)); err != nil {
		return nil, fmt.Errorf("no admission within %s of healing: %w", admit, err)
	}
	if err := r.whole(ctx); err != nil {
		return nil, err
	}
	return r.leader(ctx)
}

// admit asks for one lease until it is granted, the scheduler of a number first.
func (r *run) admit(ctx context.Context, first int, within time.Duration) error {
	c := r.load.client(first, false, min(within, callTime)) // one that stands still is asked in vain
	defer func() { _ = c.Close() }()                        // idle connections
	probe := &lessor{load: r.load, id: lessors + readers, client: c}
	set, err := r.granted(ctx, probe, within, api.LeaseRequest{
		Provider: fleet.Provider, Tenant: tenantFree, TTLMs: 1000, Resources: api.Resources{Mem: 64 << 10},
	})
	if err == nil {
		r.load.seen(set.Leases[0].ID)
	}
	return err
}

// granted makes a request until it is granted, under one key after another as it is refused: a cell that has just come
// back may be late with one of them.
func (r *run) granted(ctx context.Context, probe *lessor, within time.Duration, q api.LeaseRequest) (*api.GrantSet, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		set, err := probe.once(ctx, q)
		if err == nil {
			return set, nil
		}
		if pause := harness.Pause(ctx, 50*time.Millisecond); pause != nil {
			return nil, err
		}
	}
}

// goesOn demands that the others admit while one scheduler is down, or hangs. It is asked first:
// whoever does not know, asks it too.
func (r *run) goesOn(ctx context.Context, down *fleet.Node) {
	if err := r.admit(ctx, slices.Index(r.fleet.Schedulers, down), r.atEase(admitTime)); err != nil {
		r.load.book.fault("the others do not go on: %v", err)
	}
}

// states asks every scheduler at the same time what it is; who does not answer soon is left out.
func (r *run) states(ctx context.Context) map[string]*api.NodeState {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var mu sync.Mutex
	states := map[string]*api.NodeState{}
	var wg sync.WaitGroup
	for name, c := range r.alone {
		wg.Go(func() {
			st, err := c.NodeState(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			states[name] = st
		})
	}
	wg.Wait()
	return states
}

// state returns what one scheduler says of itself.
func (r *run) state(ctx context.Context, n *fleet.Node) (*api.NodeState, error) {
	st, err := r.alone[n.Name].NodeState(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	return st, nil
}

// ids returns the id of each scheduler that answers.
func (r *run) ids(ctx context.Context) map[string]api.NodeID {
	ids := map[string]api.NodeID{}
	for name, st := range r.states(ctx) {
		ids[name] = st.Node
	}
	return ids
}

// sameIDs demands that nobody gave up its data but for damage: a scheduler that takes another
// id has lost what it acknowledged.
func (r *run) sameIDs(was, now map[string]api.NodeID) {
	maps.Copy(was, r.reborn)
	for name, id := range now {
		if was[name] != id && was[name] != "" {
			r.load.book.fault("%s was %s and is %s: it set its data aside", name, was[name], id)
		}
	}
}

// leader waits for a leader that is ready, and returns what it says of itself.
func (r *run) leader(ctx context.Context) (*api.NodeState, error) {
	for {
		var best *api.NodeState
		for _, st := range r.states(ctx) {
			if st.Role == "leader" && st.Ready && (best == nil || st.Term > best.Term) {
				best = st
			}
		}
		if best != nil {
			return best, nil
		}
		if err := harness.Pause(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("wait for a leader: %w", err)
		}
	}
}

// leading returns the node that leads.
func (r *run) leading(ctx context.Context) (*fleet.Node, error) {
	st, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(r.fleet.Schedulers, func(n *fleet.Node) bool { return n.URL == st.URL })
	if i < 0 {
		return nil, fmt.Errorf("%s at %s leads and is none of ours", st.Node, st.URL)
	}
	return r.fleet.Schedulers[i], nil
}

// others returns the schedulers without one.
func (r *run) others(than *fleet.Node) []*fleet.Node {
	return slices.DeleteFunc(slices.Clone(r.fleet.Schedulers), func(n *fleet.Node) bool { return n == than })
}

// follower picks a scheduler that does not lead.
func (r *run) follower(ctx context.Context, f fault) (*fleet.Node, error) {
	leader, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	others := r.others(leader)
	return others[f.pick%uint64(len(others))], nil
}

// cell picks a cell.
func (r *run) cell(f fault) *fleet.Node { return r.fleet.Cells[f.pick%uint64(len(r.fleet.Cells))] }

// whole waits until every scheduler follows and has a vote, and every cell is ready.
func (r *run) whole(ctx context.Context) error {
	bound := r.atEase(wholeTime)
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		why := r.missing(ctx)
		if why == "" {
			return nil
		}
		if err := harness.Pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("not whole %s after healing: %s", bound, why)
		}
	}
}

// missing says what of the cluster is not as it should be.
func (r *run) missing(ctx context.Context) string {
	states := r.states(ctx)
	for _, s := range r.fleet.Schedulers {
		st := states[s.Name]
		if st == nil {
			return s.Name + " does not answer"
		}
		if !st.Ready {
			return s.Name + ": " + st.NotReady
		}
		if i := slices.IndexFunc(st.Peers, func(p api.Peer) bool { return p.Node == st.Node }); i < 0 || !st.Peers[i].Voter {
			return fmt.Sprintf("%s has no vote as %s", s.Name, st.Node)
		}
		if len(st.Peers) != len(r.fleet.Schedulers) {
			return fmt.Sprintf("%s counts %d members", s.Name, len(st.Peers))
		}
	}
	list, err := r.admin.ListCells(ctx, "", api.ReadOptions{})
	if err != nil {
		return err.Error()
	}
	for _, c := range list.Cells {
		if !c.Ready {
			return fmt.Sprintf("cell %s is %s: %v", c.CellID, c.State, c.Reasons)
		}
	}
	return ""
}

// record returns what the schedulers know of a cell.
func (r *run) record(ctx context.Context, name string) (api.Cell, error) {
	list, err := r.admin.ListCells(ctx, "", api.ReadOptions{})
	if err != nil {
		return api.Cell{}, err
	}
	i := slices.IndexFunc(list.Cells, func(c api.Cell) bool { return string(c.CellID) == name })
	if i < 0 {
		return api.Cell{}, errors.New("cell " + name + " is not known")
	}
	return list.Cells[i], nil
}

// restartCell starts a cell that has ended, and returns when the schedulers know the new agent.
func (r *run) restartCell(ctx context.Context, n *fleet.Node, prefix ...string) error {
	before, err := r.record(ctx, n.Name)
	if err != nil {
		return err
	}
	if err := n.Start(prefix...); err != nil {
		return err
	}
	for {
		now, err := r.record(ctx, n.Name)
		if err == nil && now.Epoch > before.Epoch {
			return nil
		}
		if err := harness.Pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("cell %s did not register: %w", n.Name, err)
		}
	}
}

// ends reports whether a scheduler that was hurt ends by itself, instead of following.
func (r *run) ends(ctx context.Context, n *fleet.Node) bool {
	ctx, cancel := context.WithTimeout(ctx, r.atEase(15*time.Second))
	defer cancel()
	for {
		if !n.Runs() {
			return true
		}
		if st := r.states(ctx)[n.Name]; st != nil && st.Ready {
			return false
		}
		if err := harness.Pause(ctx, 50*time.Millisecond); err != nil {
			r.load.book.fault("%s neither ends nor follows", n.Name)
			return false
		}
	}
}
