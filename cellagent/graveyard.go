package cellagent

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// gravesMost bounds the ended leases that are remembered once the schedulers know of their end.
const gravesMost = 4096

// grave is a lease that this agent held, or refused, and that ended.
type grave struct {
	lease     api.Lease // in its last state, for a holder that still asks
	report    api.EndedReport
	confirmed uint64 // the index at which the schedulers had the report; 0 is not yet
	closed    bool   // the schedulers have it as ended, or not at all
}

// graveyard remembers ended leases: so that one that is still desired is reported again and
// never bound again, and so that its holder is told what happened to it. Those that the
// schedulers have closed are forgotten, oldest first, when there are more than most.
type graveyard struct {
	most   int
	graves map[api.LeaseID]*grave
	old    []api.LeaseID // closed ones, oldest first
	ripe   []ripe        // by index
}

// ripe is a grave that is closed once the cell has heard of that index: until then a set may come
// in which its lease lives.
type ripe struct {
	id    api.LeaseID
	index uint64
}

func newGraveyard(most int) graveyard {
	return graveyard{most: most, graves: make(map[api.LeaseID]*grave)}
}

func (y *graveyard) bury(l api.Lease, r api.EndedReport) {
	l.State, l.Reason = r.State, r.Reason
	if r.State == api.LeaseTornDown && r.Reason == reasonExpired {
		l.State = api.LeaseExpired // the holder is told that its time was up
	}
	y.graves[l.ID] = &grave{lease: l, report: r}
}

func (y *graveyard) find(id api.LeaseID) (*grave, bool) {
	g, ok := y.graves[id]
	return g, ok
}

// confirm notes that the schedulers had the report of an end; taken is that they took it, so that
// their lease has ended for good.
func (y *graveyard) confirm(id api.LeaseID, index uint64, taken bool) {
	g, ok := y.graves[id]
	if !ok {
		return
	}
	g.confirmed = index
	if taken && !g.closed {
		y.ripe = append(y.ripe, ripe{id, index})
	}
}

// ripen closes what was confirmed up to an index. No set from before it is applied any more.
func (y *graveyard) ripen(index uint64) {
	n := 0
	for ; n < len(y.ripe) && y.ripe[n].index <= index; n++ {
		y.close(y.ripe[n].id)
	}
	y.ripe = slices.Delete(y.ripe, 0, n)
}

// doubt forgets what was confirmed.
func (y *graveyard) doubt() {
	for _, g := range y.graves {
		g.confirmed = 0
	}
	y.ripe = nil
}

// close marks a lease whose end the schedulers know.
func (y *graveyard) close(id api.LeaseID) {
	g, ok := y.graves[id]
	if !ok || g.closed {
		return
	}
	g.closed = true
	y.old = append(y.old, id)
	for len(y.old) > y.most {
		delete(y.graves, y.old[0])
		y.old = y.old[1:]
	}
}

// closeExcept closes what a whole set of that index does not show any more.
func (y *graveyard) closeExcept(desired map[api.LeaseID]bool, index uint64) {
	for id, g := range y.graves {
		if !desired[id] && !g.closed && g.confirmed > 0 && g.confirmed <= index {
			y.close(id)
		}
	}
}
