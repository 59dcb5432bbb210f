package server

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// door bounds the handshakes that are computed at a time. When a scheduler ends, thousands of cells
// come to the others in one second. Each of their handshakes takes half a millisecond of a core, and
// all of them together would keep the messages of Raft waiting for seconds: the leader would be lost
// too, every session with it, and the next wave would be larger. At the door they wait and keep nobody
// else from running. The newest is the next: who came long ago has given up, or is about to, and whatever
// it would cost would be for nothing. In turn, where more come than can be served, all of them would be
// served too late, come again, and that for ever.
//
// A handshake is computed from what it read to what it reads or writes next: whoever waits for the
// other side has no place.
type door struct {
	mu      sync.Mutex
	places  int             // guarded by mu: those that are free
	waiting []chan struct{} // guarded by mu, the newest last
}

const (
	// handshakeShare is the part of the processors that handshakes may have: one in so many.
	handshakeShare = 2
	// doorTime is how long a handshake waits at the door, each time it has something to compute.
	doorTime = 3 * time.Second
)

func newDoor(places int) *door { return &door{places: places} }

// enter waits for a place.
func (d *door) enter() bool {
	d.mu.Lock()
	if d.places > 0 {
		d.places--
		d.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	d.waiting = append(d.waiting, turn)
	d.mu.Unlock()
	late := time.NewTimer(doorTime)
	defer late.Stop()
	select {
	case <-turn:
		return true
	case <-late.C:
		return d.late(turn)
	}
}

// late gives up waiting, unless its turn came in the same moment.
func (d *door) late(turn chan struct{}) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.waiting, turn) // the oldest are in front
	if i < 0 {
		return true
	}
	d.waiting = slices.Delete(d.waiting, i, i+1)
	return false
}

// leave gives a place to the newest that waits.
func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.waiting)
	if n == 0 {
		d.places++
		return
	}
	close(d.waiting[n-1])
	d.waiting = d.waiting[:n-1]
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
	if !c.door.enter() {
		return 0, errCrowded
	}
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
