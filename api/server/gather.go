package server

import (
	"net"
	"runtime"
)

// Listener returns l with connections on which answers that are made together leave together.
// Bindings are reported many at a time, and each wakes its request: without this, HTTP/2 would
// flush after the first answer, and after every other one, a system call and a TLS record
// each. A write that lets the others run first finds them queued when it is done.
func Listener(l net.Listener) net.Listener { return gathering{l} }

type gathering struct{ net.Listener }

// Accept returns the next connection.
func (g gathering) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gatheringConn{c}, nil
}

type gatheringConn struct{ net.Conn }

// Write lets whatever is ready to run do so first.
func (c gatheringConn) Write(p []byte) (int, error) {
	runtime.Gosched()
	return c.Conn.Write(p)
}
