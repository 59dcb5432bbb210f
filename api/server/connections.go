package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// Connections are those that a server has open: how many, and which of them are cells'.
type Connections struct {
	open atomic.Int64

	mu    sync.Mutex
	of    map[api.CellID]map[net.Conn]struct{} // guarded by mu
	cells map[net.Conn]api.CellID              // guarded by mu
	seen  sync.Map                             // of net.Conn: those of which it is known whose they are
}

// NewConnections returns none.
func NewConnections() *Connections {
	return &Connections{of: map[api.CellID]map[net.Conn]struct{}{}, cells: map[net.Conn]api.CellID{}}
}

// Len counts them.
func (c *Connections) Len() int64 { return c.open.Load() }

// Close closes what a cell has open, whatever is under way on it, and returns how many that were.
func (c *Connections) Close(cell api.CellID) int {
	c.mu.Lock()
	gone := c.of[cell]
	delete(c.of, cell)
	for conn := range gone {
		delete(c.cells, conn)
	}
	c.mu.Unlock()
	for conn := range gone {
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn() // a farewell could wait for a peer that does not read
		}
		_ = conn.Close() // the server finds out by itself
	}
	return len(gone)
}

// note is http.Server's ConnState.
func (c *Connections) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateActive, http.StateIdle:
		if _, known := c.seen.Load(conn); !known {
			c.learn(conn)
		}
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
		c.forget(conn)
	}
}

// learn finds out whose a connection is, once its handshake is over.
func (c *Connections) learn(conn net.Conn) {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	state := t.ConnectionState()
	if !state.HandshakeComplete {
		return
	}
	c.seen.Store(conn, struct{}{})
	if g, ok := t.NetConn().(*gatheringConn); ok {
		g.shake()
	}
	if len(state.PeerCertificates) == 0 {
		return
	}
	id, err := pki.CertIdentity(state.PeerCertificates[0])
	if err != nil || id.Role != api.RoleCell {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[id.Cell] == nil {
		c.of[id.Cell] = map[net.Conn]struct{}{}
	}
	c.of[id.Cell][conn] = struct{}{}
	c.cells[conn] = id.Cell
}

func (c *Connections) forget(conn net.Conn) {
	c.seen.Delete(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	cell, ok := c.cells[conn]
	if !ok {
		return
	}
	delete(c.cells, conn)
	delete(c.of[cell], conn)
	if len(c.of[cell]) == 0 {
		delete(c.of, cell)
	}
}
