package server

import (
	"errors"
	"time"
)

// door bounds the handshakes that are computed at a time. When a scheduler ends, thousands of cells
// come to the others in one second. Each of their handshakes takes half a millisecond of a core, and
// all of them together would keep the messages of Raft waiting for seconds: the leader would be lost
// too, every session with it, and the next wave would be larger. At the door they wait in line and
// keep nobody else from running; who waits longer than a client does is turned away before it costs
// anything.
//
// A handshake is computed from what it read to what it reads or writes next: whoever waits for the
// other side has no place.
type door struct{ places chan struct{} }

const (
	// handshakeShare is the part of the processors that handshakes may have: one in so many.
	handshakeShare = 2
	// doorTime is how long a handshake waits in line, each time it has something to compute.
	doorTime = 3 * time.Second
)

func newDoor(places int) *door { return &door{places: make(chan struct{}, places)} }

// enter waits for a place.
func (d *door) enter() bool {
	select {
	case d.places <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(doorTime)
	defer late.Stop()
	select {
	case d.places <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

func (d *door) leave() { <-d.places }

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
