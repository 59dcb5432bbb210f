package server

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
)

// TestBodyBounds: a body is bounded by what it says and by what it is.
func TestBodyBounds(t *testing.T) {
	n := start(t, nil)
	c := raw(t, api.RoleTenant)
	for name, size := range map[string]int64{"a length that no machine has": 1 << 50, "no length": -1} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/api/v1/leases", io.NopCloser(zeros{}))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = size
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(name, err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Grafos-Kind"); got != string(api.TooLarge) {
			t.Errorf("%s: %s %q, want too_large", name, resp.Status, got)
		}
	}
}

// TestRegisterNamesItself: an agent registers the cell and provider of its certificate.
func TestRegisterNamesItself(t *testing.T) {
	n := start(t, nil)
	c := dial(t, api.RoleCell, n)
	for _, r := range []api.RegisterRequest{{Provider: "aws", CellID: "aws-2"}, {Provider: "gcp", CellID: "aws-1"}} {
		if _, err := c.Register(t.Context(), r); api.KindOf(err) != api.IdentityMismatch {
			t.Errorf("registering %s of %s: %v, want identity_mismatch", r.CellID, r.Provider, err)
		}
	}
	if n.fake.count("Register") != 0 {
		t.Error("the service was asked")
	}
}

// leafOf returns a parsed certificate of an identity.
func leafOf(t *testing.T, id pki.Identity) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(certificate(t, id).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// TestCertificateOutlived: a connection that outlives its certificate, or the right to it,
// proves nobody.
func TestCertificateOutlived(t *testing.T) {
	f := &fake{}
	s, err := newServer(Config{Services: f, Agent: f, Peers: f, Leader: &fakeLeader{self: true}, Auth: fakeAuth{}, Info: f.info, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	old := leafOf(t, who(api.RoleOperator))
	old.NotAfter = time.Now().Add(-time.Second)
	barred := who(api.RoleTenant)
	barred.Name = "barred"
	for _, tt := range []struct {
		leaf *x509.Certificate
		want api.Kind
	}{{old, api.Unauthenticated}, {leafOf(t, barred), api.IdentityRevoked}, {leafOf(t, who(api.RoleOperator)), ""}} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/cells", http.NoBody)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{tt.leaf}}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got := w.Header().Get("Grafos-Kind"); got != string(tt.want) {
			t.Errorf("%s: %d %q, want %q", tt.leaf.URIs[0], w.Code, got, tt.want)
		}
	}
}

// TestTimeOfRoutes: a request has its time and its wait, a stream that of its certificate.
func TestTimeOfRoutes(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		route  route
		query  string
		caller api.Caller
		want   time.Duration // 0 is none
	}{
		{route{}, "", api.Caller{}, requestTime},
		{route{}, "?wait=32s", api.Caller{NotAfter: until}, requestTime + 34*time.Second},
		{route{stream: true}, "", api.Caller{NotAfter: until}, time.Hour},
		{route{stream: true}, "", api.Caller{}, 0},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x"+tt.query, http.NoBody)
		ctx, cancel := tt.route.bound(t.Context(), waitOf(r), tt.caller)
		deadline, ok := ctx.Deadline()
		cancel()
		left := time.Until(deadline)
		if ok != (tt.want > 0) || ok && (left > tt.want || left < tt.want-time.Minute) {
			t.Errorf("%+v %s: %s left, want %s", tt.route, tt.query, left, tt.want)
		}
	}
}

// TestHalfAnAnswer: an answer that cannot be finished is cut off, and never looks whole.
func TestHalfAnAnswer(t *testing.T) {
	n := start(t, func(c *Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "up 1\n")
			panic("oops")
		})
	})
	resp, err := raw(t, api.RoleViewer).Get(n.url + "/metrics")
	if err != nil {
		return // cut off before its headers came
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("read %q without an error", b)
	}
}

// TestShortBlob: so is a blob of which the disk has less than it says.
func TestShortBlob(t *testing.T) {
	n := start(t, nil)
	n.fake.blob = "some bytes"
	n.fake.short = true
	c, err := client.New(client.Config{URLs: []string{n.url}, TLS: clientTLS(t, api.RoleTenant), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := c.GetBlob(t.Context(), digest(n.fake.blob))
	if err != nil {
		return // cut off before its headers came
	}
	defer func() { _ = body.Close() }()
	if b, err := io.ReadAll(body); err == nil {
		t.Errorf("read %q without an error", b)
	}
}

// TestWaitOf: a query that is not taken apart has no wait in it, however it is spelled.
func TestWaitOf(t *testing.T) {
	for _, query := range []string{
		"", "wait=5s", "index=1&wait=5s", "w%61it=5s", "%77%61%69%74=1s", "wait", "wait=", "wait=1s&wait=2s", "Wait=1s", "awaits=1", "consistency=stale", "wa+it=1s",
		"a=wait", "wait;=1", "%zz=1&wait=1s", "&&wait=3s", "wait=%35s",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", http.NoBody)
		r.URL.RawQuery = query
		if got, want := waitOf(r), r.URL.Query().Get("wait"); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
