package rumor

import (
	"time"

	"github.com/grafos/grafos/api"
)

// Sight is the best that is known of a cell, over all schedulers.
type Sight struct {
	// Age is how long ago the cell's newest heartbeat came; without one, since its session
	// was first opened.
	Age time.Duration
	// Steady is from the first to the newest heartbeat of a series without a gap over the
	// limit, whichever schedulers they came to.
	Steady time.Duration
	// Stamp is the newest heartbeat's; its BootID is empty and StampAge is Never without one.
	Stamp    api.Stamp
	StampAge time.Duration
	// Session says that some scheduler, Holder, holds a live session of the cell; else
	// SessionAge is how long ago one did, Never if none did.
	Session    bool
	SessionAge time.Duration
	Holder     api.NodeID
	// Stuck is what the newest heartbeat says of what does not move.
	Stuck string
}

// Best returns the freshest sighting of the cell in epoch. Other epochs are another agent's
// life and do not count. ok is false when no scheduler had to do with it.
func (t *Table) Best(cell api.CellID, epoch uint64) (sight Sight, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := best{now: t.now(), sight: Sight{SessionAge: Never, StampAge: Never}}
	if s, held := t.mine[cell]; held && s.epoch == epoch {
		b.take(t.node, s, t.now(), true)
	}
	for node, p := range t.peers {
		if s, held := p.cells[cell]; held && s.epoch == epoch {
			b.take(node, s, p.told, !p.lost && b.now.Sub(p.told) <= staleAfter)
		}
	}
	if !b.found {
		return Sight{}, false
	}
	b.finish(t.limit, func(join func(seen)) {
		join(t.mine[cell])
		for _, p := range t.peers {
			join(p.cells[cell])
		}
	})
	return b.sight, true
}

// best gathers one Sight.
type best struct {
	now    time.Time
	found  bool
	of     api.NodeID // whose sighting newest is
	newest seen
	holder seen // the sighting of sight.Holder
	sight  Sight
}

// take considers what node saw. live says that its sessions count as live; else they ended
// when it was last heard, at told.
func (b *best) take(node api.NodeID, s seen, told time.Time, live bool) {
	if !b.found || fresher(s, b.newest) || !fresher(b.newest, s) && node < b.of {
		b.found, b.of, b.newest = true, node, s
	}
	if s.sessions > 0 && live {
		if !b.sight.Session || fresher(s, b.holder) || !fresher(b.holder, s) && node < b.sight.Holder {
			b.sight.Session, b.sight.Holder, b.holder = true, node, s
		}
		b.sight.SessionAge = 0
		return
	}
	lost := s.lostAt
	if s.sessions > 0 {
		lost = told
	}
	if !lost.IsZero() {
		b.sight.SessionAge = min(b.sight.SessionAge, b.now.Sub(lost))
	}
}

// fresher reports whether a's newest sign of life is after b's; a heartbeat counts more than
// a session that brought none.
func fresher(a, b seen) bool {
	if a.heard != b.heard {
		return a.heard
	}
	if a.heard {
		return a.last.After(b.last)
	}
	return a.begun.Before(b.begun)
}

// finish fills in what the newest sighting says. each calls join with every sighting of the
// cell, to find where the series began that the newest heartbeat belongs to.
func (b *best) finish(limit time.Duration, each func(join func(seen))) {
	s := b.newest
	if !s.heard {
		b.sight.Age = b.now.Sub(s.begun)
		return
	}
	b.sight.Age, b.sight.Stamp, b.sight.Stuck = b.now.Sub(s.last), s.stamp, s.stuck
	if s.stamp.BootID != "" {
		b.sight.StampAge = b.sight.Age
	}
	from := s.from
	for grew := true; grew; {
		grew = false
		each(func(o seen) {
			if o.heard && o.epoch == s.epoch && o.from.Before(from) && from.Sub(o.last) <= limit {
				from, grew = o.from, true
			}
		})
	}
	b.sight.Steady = s.last.Sub(from)
}
