package server

import (
	"net"
	"runtime"
	"sync/atomic"
)

// Listener returns l with connections on which answers that are made together leave together, and
// of which only so many compute a handshake at a time.
//
// Bindings are reported many at a time, and each wakes its request: without the first, HTTP/2 would
// flush after the first answer, and after every other one, a system call and a TLS record each. A
// write that lets the others run first finds them queued when it is done. The door is about the second.
func Listener(l net.Listener) net.Listener {
	return gathering{l, newDoor(max(1, runtime.GOMAXPROCS(0)/handshakeShare))}
}

type gathering struct {
	net.Listener
	door *door
}

// Accept returns the next connection.
func (g gathering) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatheringConn{Conn: c, door: g.door}, nil
}

type gatheringConn struct {
	net.Conn
	door   *door
	shaken atomic.Bool // the handshake is over
	inside atomic.Bool // it has a place at the door
	served bool        // it had one before; its reader's
}

// Write lets whatever is ready to run do so first.
func (c *gatheringConn) Write(p []byte) (int, error) {
	if !c.shaken.Load() {
		c.leave()
	}
	runtime.Gosched()
	return c.Conn.Write(p)
}
