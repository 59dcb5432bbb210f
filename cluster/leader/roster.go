package leader

import (
	"slices"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// rosters are the providers that decisions were made for. The planner keeps its own from group to
// group: of a fleet of thousands only those cells are looked at again of which leases changed, and all of them
// when the record of one did.
type rosters map[api.ProviderID]*roster

// roster is placement's view of a provider. Its cells have no reasons: a decision that is a yes asks
// for none. That they have a heartbeat to date a grant with is taken for granted, until one is chosen.
type roster struct {
	view    placement.View
	from    []origin      // of each cell in view
	touched []int         // the cells of which from says so, and perhaps others
	mark    fsm.CellsMark // of the state that view is of; the zero one is of a state without cells
}

// origin is what a cell in a roster was made from.
type origin struct {
	rec *api.CellRecord
	use fsm.CellUse
	// touched says that the cell is not any more, or may not be, what it was made as.
	touched bool
}

// of returns a provider's roster as the state has it.
func (k rosters) of(v *fsm.View, id api.ProviderID) *roster {
	p, known := v.Provider(id)
	if !known {
		return &roster{}
	}
	r, kept := k[id]
	if !kept || r.view.Provider != p {
		r = &roster{view: placement.View{Provider: p, Known: true}}
		k[id] = r
	}
	r.refresh(v)
	return r
}

// refresh makes the cells again that changed.
func (r *roster) refresh(v *fsm.View) {
	if !v.CellsSince(&r.mark, r.touchIf) {
		r.compare(v)
	}
	for _, at := range r.touched {
		if o := &r.from[at]; o.touched {
			r.make(v, at, o.rec)
		}
	}
	r.touched, r.mark = r.touched[:0], v.CellsMark()
}

// touchIf touches a cell if it is in the roster.
func (r *roster) touchIf(id api.CellID) {
	if at, ok := r.at(id); ok {
		r.touch(at)
	}
}

// compare looks at all records. One that changed is another one.
func (r *roster) compare(v *fsm.View) {
	n := 0
	v.EachCell(r.view.Provider.ID, func(rec *api.CellRecord) {
		if n == len(r.from) {
			r.from = append(r.from, origin{})
			r.view.Cells = append(r.view.Cells, placement.Cell{})
		}
		if o := &r.from[n]; o.rec != rec || o.use != v.Use(rec.ID) {
			r.make(v, n, rec)
		}
		n++
	})
	clear(r.from[n:])
	clear(r.view.Cells[n:])
	r.from, r.view.Cells = r.from[:n], r.view.Cells[:n]
	r.touched = slices.DeleteFunc(r.touched, func(at int) bool { return at >= n })
}

// make makes a cell.
func (r *roster) make(v *fsm.View, at int, rec *api.CellRecord) {
	use := v.Use(rec.ID)
	r.from[at] = origin{rec: rec, use: use}
	r.view.Cells[at] = placement.Cell{
		ID: rec.ID, Readiness: v.Requirements(rec), Mode: rec.Mode,
		Revoking: rec.Revoking, Revoked: rec.Revoked, Capacity: rec.Capacity,
		Free: rec.Capacity.Sub(use.Used()), GPUs: use.Devices(),
		Leases: use.Leases(), Fenced: use.Fenced(), Zone: rec.Inventory.Zone, Rack: rec.Inventory.Rack,
		Unproven: rec.Unproven(r.view.Provider.Production), Failed: rec.Conformance() == api.ConformanceFailed, HasStamp: true,
	}
}

// at finds a cell.
func (r *roster) at(id api.CellID) (int, bool) {
	return slices.BinarySearchFunc(r.view.Cells, id, func(c placement.Cell, id api.CellID) int {
		return strings.Compare(string(c.ID), string(id))
	})
}

// touch returns a cell to be changed.
func (r *roster) touch(at int) *placement.Cell {
	if o := &r.from[at]; !o.touched {
		o.touched = true
		r.touched = append(r.touched, at)
	}
	return &r.view.Cells[at]
}

// seat is a cell in a roster, with what a grant there is stamped with.
type seat struct {
	at    int
	epoch uint64
	stamp api.Stamp
}

// seat returns what a grant on a cell would be stamped with; false when there is no heartbeat fresh
// enough, and the roster says so from then on.
func (d *desk) seat(r *roster, at int) (seat, bool) {
	rec := r.from[at].rec
	sight, seen := d.t.cfg.Sightings.Best(rec.ID, rec.Epoch)
	if !seen || sight.StampAge >= rumor.StampLife {
		r.touch(at).HasStamp = false
		return seat{}, false
	}
	return seat{at, rec.Epoch, sight.Stamp}, true
}

// fewMisses is how many chosen cells may turn out to have no heartbeat before all are asked for theirs.
const fewMisses = 8

// pick chooses a cell that has a heartbeat to date a grant with.
func (d *desk) pick(r *roster, q placement.Request) (seat, bool) {
	for misses := 0; ; misses++ {
		if misses == fewMisses {
			d.stamps(r)
		}
		id, ok := placement.Pick(&r.view, q)
		if !ok {
			return seat{}, false
		}
		at, found := r.at(id)
		if !found {
			return seat{}, false // it was picked from there
		}
		if s, ok := d.seat(r, at); ok {
			return s, true
		}
	}
}

// stamps finds out of every cell whether it has a heartbeat to date a grant with.
func (d *desk) stamps(r *roster) {
	for at := range r.view.Cells {
		if r.view.Cells[at].HasStamp {
			d.seat(r, at)
		}
	}
}

// words gives every cell what a refusal says of it.
func (d *desk) words(r *roster) {
	d.stamps(r)
	for at := range r.view.Cells {
		if c := &r.view.Cells[at]; c.Reasons == nil && !c.Readiness.Ready() {
			_, r.touch(at).Reasons = d.view.Readiness(*r.from[at].rec)
		}
	}
}

// book takes from a roster what decisions in flight have taken.
func (d *desk) book(r *roster) {
	for id, taken := range d.cells {
		at, ok := r.at(id)
		if !ok {
			continue // of another provider
		}
		c := r.touch(at)
		c.Free = c.Free.Sub(taken)
		c.Leases += d.counts[id]
		before, _ := c.GPUs.Taken()
		for _, b := range d.gpus[id] {
			c.GPUs = c.GPUs.With(b.tenant, b.gpu, false, 1)
		}
		after, _ := c.GPUs.Taken()
		c.Free.GPU -= after - before
	}
}
