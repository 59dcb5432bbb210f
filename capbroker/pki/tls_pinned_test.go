package pki

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func TestPinnedTLS(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	o := serverOf(t, m)
	o.Clients = tls.RequestClientCert
	for _, pin := range []string{m.CAPin(), strings.TrimPrefix(m.CAPin(), "sha256:"), " " + strings.ToUpper(m.CAPin()) + "\n"} {
		if _, s, c := handshake(t, ServerTLS(o), PinnedTLS(pin)); s != nil || c != nil {
			t.Errorf("pin %q: server %v, client %v", pin, s, c)
		}
	}
}

func TestPinnedTLSRefuses(t *testing.T) {
	m, other := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-1")
	id := CertRequest{Identity: scheduler("s1")}
	good := issue(t, m, id)
	alone := *good
	alone.Certificate = good.Certificate[:1]
	// The pinned CA is sent along, but another issued the leaf.
	borrowed := *issue(t, other, id)
	borrowed.Certificate = [][]byte{borrowed.Certificate[0], m.CA.Raw}
	for name, c := range map[string]struct {
		cert *tls.Certificate
		pin  string
		kind api.Kind
		says []string
	}{
		"another CA":   {issue(t, other, id), m.CAPin(), api.IdentityMismatch, []string{other.CAPin(), m.CAPin()}},
		"CA not sent":  {&alone, m.CAPin(), api.IdentityMismatch, []string{"sent no CA certificate", m.CAPin()}},
		"CA borrowed":  {&borrowed, m.CAPin(), api.Unauthenticated, []string{"another CA issued it"}},
		"pin of leaf":  {good, Pin(good.Leaf), api.InvalidArgument, []string{"not a CA's"}},
		"a cell":       {issue(t, m, CertRequest{Identity: cell()}), m.CAPin(), api.IdentityMismatch, []string{"role cell"}},
		"a tenant":     {issue(t, m, CertRequest{Identity: tenant("acme")}), m.CAPin(), api.Unauthenticated, []string{"not issued for this end"}},
		"expired":      {issue(t, m, CertRequest{Identity: scheduler("s1"), Now: time.Now().Add(-2 * time.Hour), TTL: time.Hour}), m.CAPin(), api.Unauthenticated, []string{"expired 1h0m"}},
		"other domain": {crafted(t, m, scheduler("s1"), setURI(t, "spiffe://g-2/scheduler/s1")), m.CAPin(), api.IdentityMismatch, []string{"g-2", "this one is g-1"}},
		"no pin":       {good, "", api.InvalidArgument, []string{"CA pin"}},
		"short pin":    {good, m.CAPin()[:70], api.InvalidArgument, []string{"64 hex digits"}},
		"other hash":   {good, "sha512:" + strings.Repeat("a", 64), api.InvalidArgument, []string{"64 hex digits"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := serverOf(t, m)
			o.Clients, o.Cert = tls.NoClientCert, fixed(c.cert)
			_, _, err := handshake(t, ServerTLS(o), PinnedTLS(c.pin))
			wantRefusal(t, err, c.kind, c.says...)
		})
	}
}

func TestPinnedPool(t *testing.T) {
	m, other := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-1")
	pool, err := PinnedPool(m.CAPEM, m.CAPin())
	if err != nil || !pool.Equal(m.Pool()) {
		t.Errorf("PinnedPool: %v", err)
	}
	_, err = PinnedPool(other.CAPEM, m.CAPin())
	wantRefusal(t, err, api.IdentityMismatch, other.CAPin(), m.CAPin())
	_, err = PinnedPool([]byte("x"), m.CAPin())
	wantRefusal(t, err, api.InvalidArgument, "not PEM")
	_, err = PinnedPool(m.CAPEM, "x")
	wantRefusal(t, err, api.InvalidArgument, "CA pin")
}

func TestParseCARefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	leafPEM := encodeCert(issue(t, m, CertRequest{Identity: scheduler("s1")}).Certificate[0])
	sub := crafted(t, m, scheduler("s1"), func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		c.URIs = m.CA.URIs
	})
	noName := crafted(t, m, scheduler("s1"), func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.URIs = true, x509.KeyUsageCertSign, nil })
	for name, c := range map[string]struct {
		pem  []byte
		kind api.Kind
		says string
	}{
		"nothing":         {nil, api.InvalidArgument, "not PEM"},
		"oversized":       {make([]byte, maxFile+1), api.TooLarge, "65537"},
		"a leaf":          {leafPEM, api.InvalidArgument, "may not sign"},
		"an intermediate": {encodeCert(sub.Certificate[0]), api.InvalidArgument, "not signed by itself"},
		"names nobody":    {encodeCert(noName.Certificate[0]), api.InvalidArgument, "does not name its cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCA(c.pem)
			wantRefusal(t, err, c.kind, c.says)
		})
	}
}
