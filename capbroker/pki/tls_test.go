package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// handshake connects the two ends over loopback and lets each say a byte, since in TLS
// 1.3 a client learns only then that its certificate was refused. It returns what each
// end was told, and what the server saw.
func handshake(tb testing.TB, server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		conn := tls.Server(raw, server)
		defer func() { _ = conn.Close() }()
		if serverErr = conn.HandshakeContext(ctx); serverErr != nil {
			return
		}
		seen = conn.ConnectionState()
		_, serverErr = conn.Write([]byte("x"))
	}()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	conn := tls.Client(raw, client)
	if clientErr = conn.HandshakeContext(ctx); clientErr == nil {
		_, clientErr = io.ReadFull(conn, make([]byte, 1))
	}
	_ = raw.Close()
	<-done
	return seen, serverErr, clientErr
}

func fixed(c *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return c, nil }
}

// serverOf is a scheduler's listener of a cluster, for some roles.
func serverOf(tb testing.TB, m *Material, roles ...api.Role) ServerOptions {
	tb.Helper()
	return ServerOptions{
		Cert: fixed(issue(tb, m, CertRequest{Identity: scheduler("s1")})), Roots: m.Pool(), ClusterID: m.ClusterID,
		Clients: tls.RequireAndVerifyClientCert, Roles: roles, NextProtos: []string{"grafos-raft"}, Log: hclog.NewNullLogger(),
	}
}

// clientOf is a client of a cluster's schedulers.
func clientOf(m *Material, c *tls.Certificate) ClientOptions {
	o := ClientOptions{Roots: m.Pool(), ClusterID: m.ClusterID, Server: api.RoleScheduler}
	if c != nil {
		o.Cert = fixed(c)
	}
	return o
}

func TestHandshakeProvesBothEnds(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	for _, id := range []Identity{scheduler("s2"), operator("root"), tenant("acme"), cell(), {Role: api.RoleViewer, Name: "v"}} {
		t.Run(id.path(), func(t *testing.T) {
			cert := issue(t, m, CertRequest{Identity: id})
			cc := ClientTLS(clientOf(m, cert))
			cc.NextProtos = []string{"grafos-raft"}
			seen, serverErr, clientErr := handshake(t, ServerTLS(serverOf(t, m)), cc)
			if serverErr != nil || clientErr != nil {
				t.Fatalf("server %v, client %v", serverErr, clientErr)
			}
			if seen.Version != tls.VersionTLS13 || seen.NegotiatedProtocol != "grafos-raft" || len(seen.VerifiedChains) == 0 {
				t.Errorf("version %x, protocol %q, %d verified chains", seen.Version, seen.NegotiatedProtocol, len(seen.VerifiedChains))
			}
			caller, err := CertCaller(seen.PeerCertificates[0])
			if err != nil || caller.Role != id.Role || caller.Name != id.Name || caller.Cell != id.Cell {
				t.Errorf("caller %+v, %v", caller, err)
			}
		})
	}
}

func TestServerRefusesClients(t *testing.T) {
	m, other := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-1")
	id := scheduler("s2")
	past := time.Now().Add(-48 * time.Hour)
	for name, c := range map[string]struct {
		cert *tls.Certificate
		kind api.Kind // "" where crypto/tls refuses by itself
		says string
	}{
		"no certificate":  {nil, "", "didn't provide a certificate"},
		"another CA":      {issue(t, other, CertRequest{Identity: id}), "", "unknown authority"},
		"expired":         {issue(t, m, CertRequest{Identity: id, Now: past, TTL: time.Hour}), "", "expired"},
		"from tomorrow":   {issue(t, m, CertRequest{Identity: id, Now: time.Now().Add(24 * time.Hour)}), "", "not yet valid"},
		"tenant":          {issue(t, m, CertRequest{Identity: tenant("acme")}), api.Forbidden, "role tenant is not taken here: only scheduler"},
		"cell":            {issue(t, m, CertRequest{Identity: cell()}), api.Forbidden, "spiffe://g-1/cell/aws/aws-1"},
		"operator":        {issue(t, m, CertRequest{Identity: operator("root")}), api.Forbidden, "role operator"},
		"another cluster": {crafted(t, m, id, setURI(t, "spiffe://g-2/scheduler/s2")), api.Forbidden, "of another cluster: this one is g-1"},
		"two identities": {crafted(t, m, id, func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "g-1", Path: "/tenant/acme"})
		}), api.Unauthenticated, "2 URI SANs"},
		"no identity":      {crafted(t, m, id, func(c *x509.Certificate) { c.URIs = nil }), api.Unauthenticated, "0 URI SANs"},
		"unknown role":     {crafted(t, m, id, setURI(t, "spiffe://g-1/root/s2")), api.Unauthenticated, `role "root"`},
		"server only":      {crafted(t, m, id, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "", "incompatible key usage"},
		"the CA itself":    {&tls.Certificate{Certificate: [][]byte{m.CA.Raw}, PrivateKey: m.caKey}, api.Unauthenticated, "is a CA's"},
		"self-signed":      {selfSigned(t, id), "", "unknown authority"},
		"issued by a leaf": {issuedByLeaf(t, m, id), "", "x509"},
	} {
		t.Run(name, func(t *testing.T) {
			_, serverErr, clientErr := handshake(t, ServerTLS(serverOf(t, m, api.RoleScheduler)), ClientTLS(clientOf(m, c.cert)))
			if serverErr == nil || clientErr == nil {
				t.Fatalf("server %v, client %v", serverErr, clientErr)
			}
			if c.kind != "" {
				wantRefusal(t, serverErr, c.kind, c.says)
			} else if !strings.Contains(serverErr.Error(), c.says) {
				t.Errorf("server's error %q does not say %q", serverErr, c.says)
			}
		})
	}
}

func setURI(tb testing.TB, s string) func(*x509.Certificate) {
	tb.Helper()
	u, err := url.Parse(s)
	if err != nil {
		tb.Fatal(err)
	}
	return func(c *x509.Certificate) { c.URIs = []*url.URL{u} }
}

// selfSigned is an identity that nobody vouches for.
func selfSigned(tb testing.TB, id Identity) *tls.Certificate {
	tb.Helper()
	key, err := newKey()
	if err != nil {
		tb.Fatal(err)
	}
	ca, err := newCA("g-1", key, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	fake := &Material{ClusterID: "g-1", CA: ca, CAPEM: encodeCert(ca.Raw), caKey: key}
	return issue(tb, fake, CertRequest{Identity: id})
}

// issuedByLeaf is what a tenant could sign with its own key.
func issuedByLeaf(tb testing.TB, m *Material, id Identity) *tls.Certificate {
	tb.Helper()
	key, err := newKey()
	if err != nil {
		tb.Fatal(err)
	}
	_, leaf, err := m.Sign(&key.PublicKey, CertRequest{Identity: tenant("acme")})
	if err != nil {
		tb.Fatal(err)
	}
	fake := &Material{ClusterID: "g-1", CA: leaf, CAPEM: encodeCert(leaf.Raw), caKey: key}
	fake.CA.NotAfter = time.Now().Add(time.Hour)
	return issue(tb, fake, CertRequest{Identity: id})
}

func TestOptionalClientCertificate(t *testing.T) {
	m, other := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-1")
	for _, mode := range []tls.ClientAuthType{tls.RequestClientCert, tls.VerifyClientCertIfGiven} {
		o := serverOf(t, m)
		o.Clients = mode
		if got := ServerTLS(o).ClientAuth; got != tls.VerifyClientCertIfGiven {
			t.Errorf("%v becomes %v", mode, got)
		}
		if _, s, c := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, nil))); s != nil || c != nil {
			t.Errorf("%v, no certificate: server %v, client %v", mode, s, c)
		}
		if _, s, _ := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, issue(t, other, CertRequest{Identity: tenant("acme")})))); s == nil {
			t.Errorf("%v: a certificate of another CA was taken", mode)
		}
	}
	o := serverOf(t, m)
	o.Clients = tls.RequireAnyClientCert
	if _, s, _ := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, issue(t, other, CertRequest{Identity: tenant("acme")})))); s == nil {
		t.Error("RequireAnyClientCert took a certificate of another CA")
	}
}

func TestServerWithoutRootsTrustsNobody(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	o := serverOf(t, m)
	o.Roots = nil
	if ServerTLS(o).ClientCAs == nil {
		t.Error("crypto/tls would take the machine's own roots")
	}
	if _, s, _ := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, issue(t, m, CertRequest{Identity: tenant("acme")})))); s == nil {
		t.Error("a client was taken")
	}
	o = serverOf(t, m)
	o.ClusterID = ""
	if _, s, _ := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, issue(t, m, CertRequest{Identity: tenant("acme")})))); s == nil {
		t.Error("a client was taken without a cluster to compare with")
	}
}

func TestClientRefusesServers(t *testing.T) {
	m, other := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-1")
	id := scheduler("s1")
	past := time.Now().Add(-48 * time.Hour)
	for name, c := range map[string]struct {
		cert *tls.Certificate
		kind api.Kind
		says string
	}{
		"another CA":      {issue(t, other, CertRequest{Identity: id}), api.Unauthenticated, "another CA issued it"},
		"expired":         {issue(t, m, CertRequest{Identity: id, Now: past, TTL: time.Hour}), api.Unauthenticated, "expired 47h0m"},
		"from tomorrow":   {issue(t, m, CertRequest{Identity: id, Now: time.Now().Add(24*time.Hour + 6*time.Minute)}), api.Unauthenticated, "valid only in 24h0m"},
		"a cell":          {issue(t, m, CertRequest{Identity: cell()}), api.IdentityMismatch, "role cell is not taken here: only scheduler"},
		"a tenant":        {issue(t, m, CertRequest{Identity: tenant("acme")}), api.Unauthenticated, "not issued for this end"},
		"another cluster": {crafted(t, m, id, setURI(t, "spiffe://g-2/scheduler/s1")), api.IdentityMismatch, "of another cluster: this one is g-1"},
		"two identities":  {crafted(t, m, id, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), api.Unauthenticated, "2 URI SANs"},
		"no identity":     {crafted(t, m, id, func(c *x509.Certificate) { c.URIs = nil }), api.Unauthenticated, "0 URI SANs"},
		"the CA itself":   {&tls.Certificate{Certificate: [][]byte{m.CA.Raw}, PrivateKey: m.caKey}, api.Unauthenticated, "is a CA's"},
	} {
		t.Run(name, func(t *testing.T) {
			o := serverOf(t, m)
			o.Clients, o.Cert = tls.NoClientCert, fixed(c.cert)
			_, _, err := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, nil)))
			wantRefusal(t, err, c.kind, c.says)
		})
	}
}

func TestClientTLSOfACell(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	o := serverOf(t, m)
	o.Clients, o.Cert = tls.NoClientCert, fixed(issue(t, m, CertRequest{Identity: cell()}))
	if _, s, c := handshake(t, ServerTLS(o), ClientTLS(ClientOptions{Roots: m.Pool(), Server: api.RoleCell})); s != nil || c != nil {
		t.Errorf("server %v, client %v", s, c)
	}
	_, _, err := handshake(t, ServerTLS(o), ClientTLS(ClientOptions{Server: api.RoleCell}))
	wantRefusal(t, err, api.Unauthenticated, "another CA issued it")
}

// TestClientOfOneCell: another cell of the cluster, also one of the same name at another provider, is not the one that is
// meant.
func TestClientOfOneCell(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	o := serverOf(t, m)
	o.Clients, o.Cert = tls.NoClientCert, fixed(issue(t, m, CertRequest{Identity: cell()}))
	for _, c := range []struct {
		provider api.ProviderID
		cell     api.CellID
		taken    bool
	}{{cell().Provider, cell().Cell, true}, {cell().Provider, "another", false}, {"another", cell().Cell, false}} {
		_, _, err := handshake(t, ServerTLS(o), ClientTLS(ClientOptions{Roots: m.Pool(), Server: api.RoleCell, Provider: c.provider, Cell: c.cell}))
		if c.taken && err != nil || !c.taken && api.KindOf(err) != api.IdentityMismatch {
			t.Errorf("%s of %s is meant: %v", c.cell, c.provider, err)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	o := serverOf(t, m)
	o.Clients = tls.NoClientCert
	old := ClientTLS(clientOf(m, nil))
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, s, c := handshake(t, ServerTLS(o), old); s == nil || c == nil {
		t.Errorf("TLS 1.2 was spoken: server %v, client %v", s, c)
	}
}

// Certificates come through functions: a renewed one is used at the next handshake.
func TestRenewalNeedsNoRestart(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	expired := CertRequest{Identity: scheduler("s1"), Now: time.Now().Add(-48 * time.Hour), TTL: time.Hour}
	serverCert, clientCert := issue(t, m, expired), issue(t, m, expired)
	o, co := serverOf(t, m), clientOf(m, nil)
	o.Cert = func() (*tls.Certificate, error) { return serverCert, nil }
	co.Cert = func() (*tls.Certificate, error) { return clientCert, nil }
	server, client := ServerTLS(o), ClientTLS(co)
	if _, _, err := handshake(t, server, client); err == nil {
		t.Fatal("expired certificates were taken")
	}
	serverCert, clientCert = issue(t, m, CertRequest{Identity: scheduler("s1")}), issue(t, m, CertRequest{Identity: operator("root")})
	if _, s, c := handshake(t, server, client); s != nil || c != nil {
		t.Errorf("after the renewal: server %v, client %v", s, c)
	}
}

func TestCertificateErrorsReachTheHandshake(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	broken := errors.New("disk on fire")
	o := serverOf(t, m)
	o.Cert = func() (*tls.Certificate, error) { return nil, broken }
	if _, s, _ := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, nil))); !errors.Is(s, broken) {
		t.Errorf("server: %v", s)
	}
	co := clientOf(m, nil)
	co.Cert = func() (*tls.Certificate, error) { return nil, broken }
	if _, _, c := handshake(t, ServerTLS(serverOf(t, m)), ClientTLS(co)); !errors.Is(c, broken) {
		t.Errorf("client: %v", c)
	}
}

func TestRefusedClientIsLogged(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	var out strings.Builder
	o := serverOf(t, m, api.RoleScheduler)
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &out})
	if _, s, _ := handshake(t, ServerTLS(o), ClientTLS(clientOf(m, issue(t, m, CertRequest{Identity: tenant("acme")})))); s == nil {
		t.Fatal("a tenant was taken")
	}
	if got := out.String(); !strings.Contains(got, "client certificate refused") || !strings.Contains(got, "spiffe://g-1/tenant/acme") {
		t.Errorf("log: %q", got)
	}
}
