package wire

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// inbound are the accepted connections of proven schedulers, by the key of their certificate.
// Raft's transport leaves them open when it closes, and the leader watch asks whether the
// leader still holds any: a process that is gone holds none.
type inbound struct {
	mu    sync.Mutex
	conns map[*provenConn]string // guarded by mu
	fewer chan struct{}          // guarded by mu: closed when one ends
}

func newInbound() *inbound {
	return &inbound{conns: map[*provenConn]string{}, fewer: make(chan struct{})}
}

// provenConn is an accepted connection; closing it takes it off the list.
type provenConn struct {
	net.Conn
	of *inbound
}

// Close closes the connection.
func (c *provenConn) Close() error {
	c.of.remove(c)
	return c.Conn.Close()
}

func (i *inbound) add(conn *tls.Conn) net.Conn {
	c := &provenConn{Conn: conn, of: i}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conns[c] = peerKey(conn)
	return c
}

func (i *inbound) remove(c *provenConn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, held := i.conns[c]; !held {
		return
	}
	delete(i.conns, c)
	close(i.fewer)
	i.fewer = make(chan struct{})
}

// close closes what is left.
func (i *inbound) close() {
	for _, c := range i.list() {
		closeQuietly(c)
	}
}

func (i *inbound) list() []*provenConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := make([]*provenConn, 0, len(i.conns))
	for c := range i.conns {
		list = append(list, c)
	}
	return list
}

// count returns how many connections a peer holds, and what to wait for until it is fewer.
func (i *inbound) count(key string) (int, <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, k := range i.conns {
		if k == key {
			n++
		}
	}
	return n, i.fewer
}

// gone waits at most d for the last connection of a peer to end, and reports whether it did.
func (i *inbound) gone(ctx context.Context, key string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		n, fewer := i.count(key)
		if n == 0 {
			return true
		}
		select {
		case <-fewer:
		case <-ctx.Done():
			return false
		}
	}
}

// peerKey names a proven peer: the public key of its certificate.
func peerKey(conn *tls.Conn) string {
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return ""
	}
	return string(certs[0].RawSubjectPublicKeyInfo)
}
