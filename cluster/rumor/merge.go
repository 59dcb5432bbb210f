package rumor

import (
	"errors"
	"time"

	"github.com/grafos/grafos/api"
)

// ErrOld is a digest that tells nothing new: it was overtaken, or is heard again.
var ErrOld = errors.New("the digest is older than what is known")

// ErrFull is a digest of a scheduler for whose table there is no room: too many others live.
var ErrFull = errors.New("the tables of as many schedulers as are kept are in use")

// maxPeers bounds the schedulers whose tables are kept: those of the dead go for new ones.
const maxPeers = 64

// Take reads a message of another scheduler, whole or a packet, and merges it. An error says
// why nothing of it was taken.
func (t *Table) Take(b []byte) error {
	kind, digest, err := decode(b)
	if err != nil {
		return err
	}
	return t.merge(digest, kind == msgWhole)
}

// Merge takes another scheduler's whole table, as an answer of that scheduler brought it. What
// it no longer names is gone. A digest that is not newer by number than the newest whole one is
// ignored, unless it is so much older that its sender must have begun anew with a clock that
// was set back: no answer is on its way for that long.
func (t *Table) Merge(d api.SightingTable) {
	t.mu.Lock()
	if p := t.peers[d.Node]; p != nil && d.Digest+beganAnew < p.full {
		t.peers[d.Node] = &peerTable{cells: map[api.CellID]seen{}}
	}
	t.mu.Unlock()
	_ = t.merge(d, true)
}

// beganAnew is by how much an answer's number is lower than what is known when its sender's
// clock was set back: ten seconds, as numbers go.
const beganAnew = uint64(10*time.Second/time.Millisecond) << numberShift

// merge takes a digest, whole or of a few cells that changed, or says why it told nothing.
func (t *Table) merge(d api.SightingTable, whole bool) error {
	if d.Node == t.node || d.Node == "" || len(d.Sightings) > MaxSightings {
		return nil // not for this table; nor is it old
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.peers[d.Node]
	if !ok {
		if !t.roomLocked() {
			return ErrFull
		}
		p = &peerTable{cells: map[api.CellID]seen{}}
		t.peers[d.Node] = p
	}
	if d.Digest <= p.full {
		return ErrOld
	}
	told := whole
	now := t.now()
	p.told, p.lost = now, false
	for _, g := range d.Sightings {
		old, held := p.cells[g.CellID]
		if held && old.number >= d.Digest || !held && len(p.cells) >= MaxSightings {
			continue // a packet that overtook this table told something newer
		}
		s := hearsay(g, d.Digest, now)
		if s.stamps(now) && (s.epoch != old.epoch || !old.stamps(now)) {
			t.wakeLocked()
		}
		p.cells[g.CellID] = s
		told = true
	}
	if !told {
		return ErrOld
	}
	if !whole {
		return nil
	}
	p.full = d.Digest
	for cell, s := range p.cells {
		if s.number < d.Digest {
			delete(p.cells, cell)
		}
	}
	return nil
}

// roomLocked reports whether the table of one more scheduler can be kept. Where there are too
// many, that of a dead one goes, or of one that is silent for so long that it tells nothing
// any more: the one that was heard the longest ago.
func (t *Table) roomLocked() bool {
	if len(t.peers) < maxPeers {
		return true
	}
	var out api.NodeID
	now := t.now()
	for id, p := range t.peers {
		if !p.lost && now.Sub(p.told) <= forgetAfter {
			continue
		}
		if was := t.peers[out]; was == nil || p.told.Before(was.told) || p.told.Equal(was.told) && id < out {
			out = id
		}
	}
	if out == "" {
		return false
	}
	delete(t.peers, out)
	return true
}

// hearsay turns ages into times of this node's clock.
func hearsay(g api.Sighting, number uint64, now time.Time) seen {
	ago := func(ms int64) time.Time { return now.Add(-time.Duration(min(max(ms, 0), maxAgeMs)) * time.Millisecond) }
	s := seen{epoch: g.Epoch, begun: ago(g.AgeMs), number: number}
	if g.Seq != 0 || g.Stamp.BootID != "" {
		s.heard, s.seq, s.stamp, s.stuck = true, g.Seq, g.Stamp, g.Stuck
		s.last = ago(g.AgeMs)
		s.from = s.last.Add(-time.Duration(min(max(g.SteadyMs, 0), maxAgeMs)) * time.Millisecond)
	}
	switch {
	case g.Session:
		s.sessions = 1
	case g.SessionAgeMs >= 0:
		s.lostAt = ago(g.SessionAgeMs)
	}
	return s
}
