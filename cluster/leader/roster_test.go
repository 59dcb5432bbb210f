package leader

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// TestRosterIsAsIfNew: whatever happens to cells, a roster that is kept is what one that is made anew
// would be.
func TestRosterIsAsIfNew(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(r *rig) {
				random := rand.New(rand.NewPCG(seed, 0))
				ids := []api.CellID{"c1", "c3", "c5", "c7"}
				r.ready(ids...)
				r.must(fsm.RaiseLevel{Level: levelDevices})
				term, kept := r.l.term.Load(), rosters{}
				var held []api.LeaseID
				for step := range 60 {
					cell := ids[random.IntN(len(ids))]
					switch random.IntN(12) {
					case 0, 1, 2:
						if res, err := r.l.Admit(r.t.Context(), grant(1+random.Int64N(900))); err == nil {
							held = append(held, res.Leases...)
						}
					case 3:
						for _, id := range held {
							if l := r.lease(id); l.CellID == cell && !l.State.Terminal() {
								r.bind(id)
							}
						}
					case 4:
						if len(held) > 0 {
							r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: held[random.IntN(len(held))], Reason: "done"})
						}
					case 5:
						r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "aws", On: random.IntN(2) == 0})
					case 6:
						r.must(fsm.MarkCell{Actor: "operator/root", Provider: "aws", Cell: cell, Production: random.IntN(2) == 0})
					case 7:
						if id := api.CellID(fmt.Sprintf("c%d", random.IntN(9))); r.cells[id] == 0 {
							r.join(id)
						}
					case 9:
						if res, err := r.l.Admit(r.t.Context(), grantGPU(1, api.GPUShared, 250)); err == nil {
							held = append(held, res.Leases...)
						}
					case 10:
						mode := []api.CellMode{api.ModeDraining, api.ModeAccepting}[random.IntN(2)]
						_, _ = r.l.Submit(r.t.Context(), fsm.SetCellMode{Actor: "operator/root", Provider: "aws", Cell: cell, Mode: mode}) // or not from where it is
					case 11:
						more := capacity
						more.GPU, more.CPU = random.Int64N(3), 4000+random.Int64N(9)
						_, _ = r.l.Submit(r.t.Context(), fsm.ReportCell{Cell: cell, Epoch: r.cells[cell], Inventory: &api.InventoryReport{Capacity: more}})
					case 8:
						r.mute[cell] = !r.mute[cell]
						r.pass(time.Duration(random.IntN(20)) * time.Second)
					}
					synctest.Wait() // the leader's own work
					got, want := use(term, kept, random.IntN(3)), use(term, rosters{}, 0)
					if !reflect.DeepEqual(got, want) {
						r.t.Fatalf("step %d: the roster that was kept is\n%+v\nand one that is new\n%+v", step, got, want)
					}
				}
			})
		})
	}
}

// use reads a provider at a desk, and then does with it what decisions do: nothing of it must be left
// for the next desk.
func use(t *term, kept rosters, then int) []string {
	d := t.newDesk(kept)
	r := d.provider("aws")
	var cells []string
	for _, c := range r.view.Cells {
		cells = append(cells, fmt.Sprintf("%+v", c))
	}
	switch {
	case then == 1:
		d.words(r)
	case then == 2 && len(r.view.Cells) > 0:
		c := r.touch(0)
		c.Free, c.Leases = c.Free.Sub(api.Resources{CPU: 1}), c.Leases+1
	}
	return cells
}

// TestChosenWithAHeartbeat: a cell whose heartbeats are too old to date a grant is not chosen while there
// is another one, however many there are, and the refusal says what the matter is when there is none.
func TestChosenWithAHeartbeat(t *testing.T) {
	bubble(t, func(r *rig) {
		var ids []api.CellID
		for n := range 2 * fewMisses {
			ids = append(ids, api.CellID(fmt.Sprintf("c%02d", n)))
		}
		r.ready(ids...)
		last := ids[len(ids)-1]
		for _, id := range ids {
			r.mute[id] = id != last
		}
		r.pass(rumor.StampLife + time.Second)
		for range 3 {
			if l := r.lease(r.admit(grant(1)).Leases[0]); l.CellID != last {
				r.t.Errorf("cell %s was chosen, which is silent", l.CellID)
			}
		}
		clear(r.mute)
		r.pass(warmup + 2*beat)
		for _, id := range ids {
			r.mute[id] = true
		}
		r.pass(rumor.StampLife + time.Second)
		_, err := r.l.Admit(r.t.Context(), grant(1))
		said := slices.ContainsFunc(api.Problem(err).Candidates, func(c api.Candidate) bool {
			return c.CellID == last && slices.ContainsFunc(c.Vetoes, func(v api.Veto) bool { return v.Code == placement.HeartbeatUnknown })
		})
		if api.KindOf(err) != api.PlacementFailed || !said {
			r.t.Errorf("without a heartbeat: %v of %s, and its candidates do not say so", err, api.KindOf(err))
		}
	})
}

// TestRosterOfNobody: a provider that does not exist has no cells, whatever cells there are, and nothing is
// kept of it.
func TestRosterOfNobody(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		g := grant(1)
		g.Provider = "none"
		_, err := r.l.Admit(r.t.Context(), g)
		if e := api.Problem(err); e.Kind != api.NotFound || len(e.Candidates) > 0 {
			r.t.Errorf("%v, with %d candidates", err, len(e.Candidates))
		}
		kept := rosters{}
		if d := r.l.term.Load().newDesk(kept); len(d.provider("none").view.Cells) > 0 || len(kept) > 0 {
			r.t.Error("a provider that does not exist has a roster")
		}
	})
}
