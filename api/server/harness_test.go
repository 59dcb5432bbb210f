package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
)

// material is one cluster's folder for all tests: keys cost time.
var material = sync.OnceValues(func() (*pki.Material, error) {
	dir, err := os.MkdirTemp("", "grafos-server-test")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return pki.InitMaterial(dir+"/ca", pki.InitOptions{ClusterID: "g-test"})
})

// certificate returns a certificate of a role.
func certificate(tb testing.TB, id pki.Identity) *tls.Certificate {
	tb.Helper()
	m, err := material()
	if err != nil {
		tb.Fatal(err)
	}
	r := pki.CertRequest{Identity: id}
	if id.Role == api.RoleScheduler {
		r.IPs = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	cred, err := m.Issue(r)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := cred.TLS()
	if err != nil {
		tb.Fatal(err)
	}
	return &cert
}

// who names an identity of the test cluster.
func who(role api.Role) pki.Identity {
	id := pki.Identity{ClusterID: "g-test", Role: role, Name: "acme"}
	if role == api.RoleCell {
		id.Name, id.Provider, id.Cell = "", "aws", "aws-1"
	}
	return id
}

// clientTLS is the TLS of a client with a role; none without one.
func clientTLS(tb testing.TB, role api.Role) *tls.Config {
	tb.Helper()
	m, err := material()
	if err != nil {
		tb.Fatal(err)
	}
	o := pki.ClientOptions{Roots: m.Pool(), ClusterID: "g-test", Server: api.RoleScheduler}
	if role != "" {
		cert := certificate(tb, who(role))
		o.Cert = func() (*tls.Certificate, error) { return cert, nil }
	}
	return pki.ClientTLS(o)
}

// sched is a scheduler's HTTP side over fakes.
type sched struct {
	url    string
	fake   *fake
	leader *fakeLeader
	server *http.Server
	of     *server
	end    context.CancelFunc
}

// start serves one; change may alter its config.
func start(tb testing.TB, change func(*Config)) *sched {
	tb.Helper()
	n := &sched{fake: &fake{}, leader: &fakeLeader{self: true}}
	c := Config{
		Services: n.fake, Agent: n.fake, Peers: n.fake, Leader: n.leader, Auth: fakeAuth{}, Info: n.fake.info,
		CAPEM: []byte("pem"), Log: hclog.NewNullLogger(),
	}
	if change != nil {
		change(&c)
	}
	h, err := newServer(c)
	if err != nil {
		tb.Fatal(err)
	}
	n.of = h
	n.serve(tb, h)
	return n
}

func (n *sched) serve(tb testing.TB, h http.Handler) {
	tb.Helper()
	m, err := material()
	if err != nil {
		tb.Fatal(err)
	}
	cert := certificate(tb, who(api.RoleScheduler))
	conf := pki.ServerTLS(pki.ServerOptions{
		Cert: func() (*tls.Certificate, error) { return cert, nil }, Roots: m.Pool(), ClusterID: "g-test",
		Clients: tls.VerifyClientCertIfGiven, Log: hclog.NewNullLogger(), NextProtos: []string{"h2", "http/1.1"},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.end = cancel
	n.server = HTTPServer(h, conf, NewConnections(), hclog.NewNullLogger())
	n.server.BaseContext = func(net.Listener) context.Context { return ctx }
	n.url = "https://" + ln.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.server.ServeTLS(Listener(ln), "", "")
	}()
	tb.Cleanup(func() {
		n.kill()
		<-done
	})
}

// kill ends the node as its process's death would.
func (n *sched) kill() {
	n.end()
	_ = n.server.Close()
}

// dial returns a client with a role.
func dial(tb testing.TB, role api.Role, nodes ...*sched) *client.Client {
	tb.Helper()
	c := client.Config{TLS: clientTLS(tb, role), Timeout: 10 * time.Second, Log: hclog.NewNullLogger()}
	for _, n := range nodes {
		c.URLs = append(c.URLs, n.url)
	}
	cl, err := client.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cl.Close() })
	return cl
}

// raw returns a http.Client with a role, for what the client would not send.
func raw(tb testing.TB, role api.Role) *http.Client {
	tb.Helper()
	tr := &http.Transport{TLSClientConfig: clientTLS(tb, role), ForceAttemptHTTP2: true}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

type fakeAuth struct{}

func (fakeAuth) Session(token string) (api.Caller, error) {
	if token != "good" {
		return api.Caller{}, api.Refuse(api.Unauthenticated, "the session's signature is wrong")
	}
	return api.Caller{Role: api.RoleOperator, Name: "ana"}, nil
}

func (fakeAuth) Login(_ context.Context, token string) (string, int, error) {
	if token != "once" {
		return "", 0, api.Refuse(api.Unauthenticated, "the login was used")
	}
	return "good", 60, nil
}

func (fakeAuth) Admit(c api.Caller) error {
	if c.Name == "barred" || c.Cell == "barred" {
		return api.Refuse(api.IdentityRevoked, "%s is revoked", c.Actor())
	}
	return nil
}

func (fakeAuth) Bound(_ context.Context, c api.Caller) error {
	if c.Cell == "unbound" {
		return api.Refuse(api.IdentityMismatch, "%s is bound to another key", c.Actor())
	}
	return nil
}

// fakeLeader says where the leader is.
type fakeLeader struct {
	mu        sync.Mutex
	self      bool
	url       string
	err       error
	transport http.RoundTripper
}

func (l *fakeLeader) set(self bool, url string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.self, l.url = self, url
}

func (l *fakeLeader) Locate(context.Context) (string, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.url, l.self, l.err
}

func (l *fakeLeader) Moved(ctx context.Context, url string, d time.Duration) bool {
	for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); sleep(ctx, time.Millisecond) {
		if now, self, err := l.Locate(ctx); err == nil && (self || now != url) {
			return true
		}
	}
	return false
}

func (l *fakeLeader) Transport() http.RoundTripper { return l.transport }
