package cellagent

import "github.com/grafos/grafos/api"

// gravesMost bounds the ended leases that are remembered once the schedulers know of their end.
const gravesMost = 4096

// grave is a lease that this agent held, or refused, and that ended.
type grave struct {
	lease     api.Lease // in its last state, for a holder that still asks
	report    api.EndedReport
	confirmed uint64 // the index at which the schedulers had the report; 0 is not yet
	closed    bool   // the schedulers show it terminal, or not at all
}

// graveyard remembers ended leases: so that one that is still desired is reported again and
// never bound again, and so that its holder is told what happened to it. Those that the
// schedulers have closed are forgotten, oldest first, when there are more than most.
type graveyard struct {
	most   int
	graves map[api.LeaseID]*grave
	old    []api.LeaseID // closed ones, oldest first
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

func (y *graveyard) confirm(id api.LeaseID, index uint64) {
	if g, ok := y.graves[id]; ok {
		g.confirmed = index
	}
}

// doubt forgets what was confirmed.
func (y *graveyard) doubt() {
	for _, g := range y.graves {
		g.confirmed = 0
	}
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
