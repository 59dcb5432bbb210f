package rumor

import (
	"github.com/grafos/grafos/api"
)

// packetHead is the most that a packet takes before its first sighting.
const packetHead = 2 + 1 + api.MaxNameLen + 8 + 3

// Packet returns a message with the transitions that wait, as many as fit into limit bytes,
// with the ages of this moment; nil is none. Each goes out a bounded number of times.
func (t *Table) Packet(limit int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.dirty) == 0 || limit <= packetHead {
		return nil
	}
	now, room := t.now(), limit-packetHead
	d := api.SightingTable{Node: t.node}
	for cell, left := range t.dirty {
		s, held := t.mine[cell]
		if !held {
			delete(t.dirty, cell)
			continue
		}
		g := s.tell(cell, now)
		n := len(appendSighting(nil, g))
		if n > room {
			continue
		}
		room -= n
		d.Sightings = append(d.Sightings, g)
		if left--; left > 0 {
			t.dirty[cell] = left
		} else {
			delete(t.dirty, cell)
		}
		if room < 32 {
			break
		}
	}
	if len(d.Sightings) == 0 {
		return nil
	}
	t.digest++
	d.Digest = t.digest
	return encode(msgSome, d)
}
