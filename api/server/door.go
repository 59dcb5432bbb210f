package server

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

// door bounds the handshakes that are computed at a time. When a scheduler ends, thousands of cells
// come to the others in one second. Each of their handshakes takes half a millisecond of a core, and
// all of them together would keep the messages of Raft waiting for seconds: the leader would be lost
// too, every session with it, and the next wave would be larger. At the door they wait and keep nobody
// else from running. The newest is the next: who came long ago has given up, or is about to, and whatever
// it would cost would be for nothing. In turn, where more come than can be served, all of them would be
// served too late, come again, and that for ever. Whoever was inside once is before all newcomers: what its
// handshake cost is not thrown away, and one that is over needs a last place for the first bytes behind it,
// since nobody says here that it is over.
//
// A handshake is computed from what it read to what it reads or writes next: whoever waits for the
// other side has no place.
type door struct {
	mu     sync.Mutex
	places int       // guarded by mu: those that are free
	fresh  list.List // guarded by mu: of chan struct{}, those who come first, the newest last
	again  list.List // guarded by mu: those who were inside once
	most   int       // may wait
}

const (
	// handshakeShare is the part of the processors that handshakes may have: one in so many.
	handshakeShare = 2
	// doorTime is how long a handshake waits at the door, each time it has something to compute.
	doorTime = 3 * time.Second
	// maxWaiting bounds those at the door: more would not come in within that time.
	maxWaiting = 16384
)

func newDoor(places int) *door { return &door{places: places, most: maxWaiting} }

// enter waits for a place; again says that the connection had one before.
func (d *door) enter(again bool) bool {
	d.mu.Lock()
	if d.places > 0 {
		d.places--
		d.mu.Unlock()
		return true
	}
	if d.fresh.Len()+d.again.Len() >= d.most {
		d.mu.Unlock()
		return false
	}
	line, turn := &d.fresh, make(chan struct{})
	if again {
		line = &d.again
	}
	at := line.PushBack(turn)
	d.mu.Unlock()
	late := time.NewTimer(doorTime)
	defer late.Stop()
	select {
	case <-turn:
		return true
	case <-late.C:
		return d.late(line, at, turn)
	}
}

// late gives up waiting, unless its turn came in the same moment.
func (d *door) late(line *list.List, at *list.Element, turn chan struct{}) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-turn:
		return true
	default:
	}
	line.Remove(at)
	return false
}

// leave gives a place to the newest that waits, of those who were inside once if there are any.
func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range []*list.List{&d.again, &d.fresh} {
		if next := line.Back(); next != nil {
			if turn, ok := line.Remove(next).(chan struct{}); ok {
				close(turn)
			}
			return
		}
	}
	d.places++
}

var errCrowded = errors.New("too many handshakes at a time")

// Read reads; what is read in a handshake is computed with a place at the door.
func (c *gatheringConn) Read(p []byte) (int, error) {
	if c.shaken.Load() {
		return c.Conn.Read(p)
	}
	c.leave()
	n, err := c.Conn.Read(p)
	if n == 0 || c.shaken.Load() {
		return n, err
	}
	if !c.door.enter(c.served) {
		return 0, errCrowded
	}
	c.served = true
	c.inside.Store(true)
	if c.shaken.Load() {
		c.leave()
	}
	return n, err
}

// Close gives the place back.
func (c *gatheringConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// shake says that the handshake is over.
func (c *gatheringConn) shake() {
	c.shaken.Store(true)
	c.leave()
}

func (c *gatheringConn) leave() {
	if c.inside.CompareAndSwap(true, false) {
		c.door.leave()
	}
}
