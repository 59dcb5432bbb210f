package cellagent

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"github.com/grafos/grafos/api"
	wall "github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/capbroker/pki"
)

const (
	// operationsMost bounds the operations under way, and so the memory of their buffers;
	// operationsPerPeer those of one client.
	operationsMost    = 1024
	operationsPerPeer = 64
	// connectionsMost bounds the open connections of the data plane.
	connectionsMost = 4096
)

// peer is who a connection was made by.
type peer struct {
	caller api.Caller        // of its certificate; the zero one had none
	key    holder.Thumbprint // of its certificate
	name   string            // by which its operations are counted
}

// mayUse refuses whoever is neither an operator nor the tenant of the lease.
func (p peer) mayUse(l api.Lease) error {
	switch {
	case p.caller.Role == "", p.caller.Role == api.RoleOperator:
		return nil
	case p.caller.Role == api.RoleTenant && p.caller.Tenant() == l.Tenant:
		return nil
	}
	return api.Refuse(api.Forbidden, "lease %s is of tenant %s: %s may not use it", l.ID, l.Tenant, p.caller.Actor())
}

// connection is what is known of one connection; it is found out at the first request.
type connection struct {
	once sync.Once
	peer peer
	err  error
}

// connectionKey finds the connection in a request's context.
type connectionKey struct{}

// withConnection is an http.Server's ConnContext.
func withConnection(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, new(connection))
}

// peerOf returns who made the connection of a request. A connection does not outlive its
// certificate.
func peerOf(r *http.Request) (peer, error) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		c = new(connection)
	}
	c.once.Do(func() { c.peer, c.err = readPeer(r.TLS, r.RemoteAddr) })
	if c.err != nil {
		return peer{}, c.err
	}
	if end := c.peer.caller.NotAfter; !end.IsZero() && wall.System().Wall().After(end) {
		return peer{}, api.Refuse(api.Unauthenticated, "the certificate of %s ended while its connection was open", c.peer.caller.Actor())
	}
	return c.peer, nil
}

func readPeer(state *tls.ConnectionState, addr string) (peer, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		return peer{name: "address " + host}, nil
	}
	cert := state.PeerCertificates[0]
	caller, err := pki.CertCaller(cert)
	if err != nil {
		return peer{}, err
	}
	return peer{caller: caller, key: holder.ThumbprintOf(cert.RawSubjectPublicKeyInfo), name: "key " + caller.SPKI}, nil
}

// guests counts the operations under way, of each peer.
type guests struct {
	mu  sync.Mutex
	all int
	per map[string]int
}

func newGuests() *guests { return &guests{per: map[string]int{}} }

// enter takes one more operation of a peer, or refuses it.
func (g *guests) enter(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.per[name] >= operationsPerPeer {
		return busy("%d operations of this client are under way already", operationsPerPeer)
	}
	if g.all >= operationsMost {
		return busy("%d operations are under way on this cell already", operationsMost)
	}
	g.all++
	g.per[name]++
	return nil
}

func (g *guests) leave(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.per[name]--; g.per[name] == 0 {
		delete(g.per, name)
	}
}

// bounded is a listener that closes what comes beyond a number of open connections.
type bounded struct {
	net.Listener
	room chan struct{}
}

func newBounded(l net.Listener, most int) *bounded { return &bounded{l, make(chan struct{}, most)} }

// Accept returns the next connection for which there is room.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // the server compares it
		}
		select {
		case b.room <- struct{}{}:
			return &counted{Conn: c, leave: sync.OnceFunc(func() { <-b.room })}, nil
		default:
			_ = c.Close() // it was never served
		}
	}
}

// counted is a connection that gives its room back.
type counted struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // it is the connection itself
}
