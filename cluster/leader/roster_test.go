package leader

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
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
					switch random.IntN(9) {
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
					case 8:
						r.mute[cell] = !r.mute[cell]
						r.pass(time.Duration(random.IntN(20)) * time.Second)
					}
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
		r.pass(limit - time.Second)
		for range 3 {
			if l := r.lease(r.admit(grant(1)).Leases[0]); l.CellID != last {
				r.t.Errorf("cell %s was chosen, which is silent", l.CellID)
			}
		}
		r.mute[last] = true
		r.pass(limit - time.Second)
		_, err := r.l.Admit(r.t.Context(), grant(1))
		e := api.Problem(err)
		if err == nil || len(e.Candidates) == 0 || len(e.Candidates[0].Vetoes) == 0 {
			r.t.Fatalf("without a heartbeat: %v", err)
		}
	})
}
