package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// open makes a stream of one scheduler; accepted are the connections that reach raft.
func (r *rig) stream(name string) (s *stream, accepted chan net.Conn) {
	r.t.Helper()
	cert := r.issue(pki.Identity{Role: api.RoleScheduler, Name: name})
	s, err := newStream(Config{
		Node: api.NodeID(name), Bind: "127.0.0.1:0", Advertise: "127.0.0.1:1",
		Server: r.serverTLS(cert), Client: r.clientTLS(cert), Log: hclog.NewNullLogger(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	accepted = make(chan net.Conn, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	r.t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			r.t.Error(err)
		}
		<-done
	})
	return s, accepted
}

// to is where the scheduler id would be dialled if it were at a stream's address.
func to(id raft.ServerID, s *stream) raft.ServerAddress {
	return envelope(id, raft.ServerAddress(s.listener.Addr().String()))
}

// TestWhoReachesRaft: only a scheduler of this cluster.
func TestWhoReachesRaft(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), newRig(t)
	s, accepted := r.stream("s1")
	addr := to("s1", s)
	tests := []struct {
		name string
		conf *tls.Config
		in   bool
	}{
		{"cell", r.clientTLS(r.issue(pki.Identity{Role: api.RoleCell, Provider: "aws", Cell: "c1"})), false},
		{"tenant", r.clientTLS(r.issue(pki.Identity{Role: api.RoleTenant, Name: "acme"})), false},
		{"operator", r.clientTLS(r.issue(pki.Identity{Role: api.RoleOperator, Name: "root"})), false},
		{"nobody", pki.ClientTLS(pki.ClientOptions{Roots: r.material.Pool(), ClusterID: r.material.ClusterID, Server: api.RoleScheduler}), false},
		{"another cluster's scheduler", func() *tls.Config {
			c := other.clientTLS(other.issue(pki.Identity{Role: api.RoleScheduler, Name: "s2"}))
			c.InsecureSkipVerify, c.VerifyConnection, c.VerifyPeerCertificate = true, nil, nil //nolint:gosec // an intruder does not look
			return c
		}(), false},
		{"scheduler", r.clientTLS(r.issue(pki.Identity{Role: api.RoleScheduler, Name: "s2"})), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := &stream{client: tt.conf, ctx: t.Context()}
			conn, err := client.Dial(addr, 5*time.Second)
			if err != nil && !tt.in {
				return // refused while it shook hands
			}
			if err != nil {
				t.Fatal(err)
			}
			defer closeQuietly(conn)
			if tt.in {
				in := <-accepted
				if n, _ := s.inbound.count(peerKey(in.(*provenConn).Conn.(*tls.Conn))); n != 1 { //nolint:errcheck,forcetypeassert // what the stream made
					t.Errorf("%d connections", n)
				}
				return
			}
			// TLS 1.3: the client learns of it when it reads.
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("it was let in")
			}
			select {
			case <-accepted:
				t.Error("it reached raft")
			default:
			}
		})
	}
}

// TestStreamDials: it takes no server for a scheduler that is none.
func TestStreamDials(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cell := r.issue(pki.Identity{Role: api.RoleCell, Provider: "aws", Cell: "c1"})
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.serverTLS(cell))
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(l)
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = io.Copy(io.Discard, conn)
			closeQuietly(conn)
		}
	}()
	s, _ := r.stream("s1")
	if conn, err := s.Dial(envelope("c1", raft.ServerAddress(l.Addr().String())), 5*time.Second); err == nil {
		closeQuietly(conn)
		t.Error("a cell was taken for a scheduler")
	}
	if _, err := s.Dial(envelope("s9", "127.0.0.1:1"), time.Second); err == nil {
		t.Error("nobody was taken for a scheduler")
	}
}

// TestStreamCloses everything that it accepted, and what hangs in its handshake.
func TestStreamCloses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, accepted := r.stream("s1")
	peer, _ := r.stream("s2")
	addr := s.listener.Addr().String()
	conn, err := peer.Dial(to("s1", s), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(conn)
	<-accepted
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(silent)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]net.Conn{"accepted": conn, "silent": silent} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: still open", name)
		}
	}
	if n := len(s.inbound.list()); n != 0 {
		t.Errorf("%d connections are kept", n)
	}
}

// TestInboundGone waits for the last connection, and no longer than it is told to.
func TestInboundGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, accepted := r.stream("s1")
	peer, _ := r.stream("s2")
	conn, err := peer.Dial(to("s1", s), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(conn)
	in := <-accepted
	k := s.inbound.conns[in.(*provenConn)] //nolint:errcheck,forcetypeassert // what the stream made
	if s.inbound.gone(t.Context(), k, time.Millisecond) {
		t.Error("gone while it is there")
	}
	if !s.inbound.gone(t.Context(), "somebody else", time.Millisecond) {
		t.Error("there while nobody is")
	}
	gone := make(chan bool, 1)
	go func() { gone <- s.inbound.gone(t.Context(), k, 10*time.Second) }()
	closeQuietly(in)
	closeQuietly(in)
	if !<-gone {
		t.Error("there after its end")
	}
}
