package cellagent

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/capbroker/pki"
)

// bind has the cell bind a lease and returns it with its token.
func (c *realCell) bind(t *testing.T, l api.Lease) (api.Lease, string) {
	t.Helper()
	c.cluster.put(l)
	c.cluster.until(t, "bound", func() bool { return c.cluster.leases[l.ID].BoundGeneration == 1 })
	return c.cluster.lease(l.ID), c.cluster.token(l.ID)
}

// Whoever connects needs a certificate of the lease's tenant or of an operator, and the token
// besides; a token that names a key is for the certificate of that key, whoever's it is.
func TestRealCertificates(t *testing.T) {
	c := newRealCell(t)
	l, token := c.bind(t, c.lease("m", api.KindMem, 4096, time.Minute))
	evil := c.issue(pki.Identity{Role: api.RoleTenant, Name: "evil"})
	cert, err := evil()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	held := c.lease("h", api.KindMem, 4096, time.Minute)
	held.Holder = holder.ThumbprintOf(leaf.RawSubjectPublicKeyInfo).String()
	h, heldToken := c.bind(t, held)
	foreign, _ := newRealCerts(t)
	for _, tc := range []struct {
		name string
		cert func() (*tls.Certificate, error)
		l    api.Lease
		tok  string
		want string // of the answer or of the failed handshake
	}{
		{"tenant", c.issue(pki.Identity{Role: api.RoleTenant, Name: "acme"}), l, token, "200"},
		{"operator", c.issue(pki.Identity{Role: api.RoleOperator, Name: "root"}), l, token, "200"},
		{"another tenant", evil, l, token, "forbidden"},
		{"viewer", c.issue(pki.Identity{Role: api.RoleViewer, Name: "eve"}), l, token, "no connection"},
		{"cell", c.issue(pki.Identity{Role: api.RoleCell, Provider: "local", Cell: "local-2"}), l, token, "no connection"},
		{"scheduler", c.issue(pki.Identity{Role: api.RoleScheduler, Name: "s1"}), l, token, "no connection"},
		{"another CA", foreign.Credential, l, token, "no connection"},
		{"nobody", nil, l, token, "no connection"},
		{"no token", c.issue(pki.Identity{Role: api.RoleOperator, Name: "root"}), l, "", "unauthenticated"},
		{"holder", evil, h, heldToken, "200"},
		{"not the holder", c.issue(pki.Identity{Role: api.RoleOperator, Name: "root"}), h, heldToken, "for the holder of key"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tc.l.Coordinate+"?length=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.tok != "" {
			r.Header.Set("Authorization", "Bearer "+tc.tok)
		}
		got := ""
		if resp, err := c.clientOf(tc.cert).Do(r); err != nil {
			got = "no connection: " + err.Error()
		} else {
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = resp.Status + " " + string(body)
			_ = resp.Body.Close()
		}
		if !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// A transfer of a whole lease goes over a real connection in one request.
func TestRealStreaming(t *testing.T) {
	c := newRealCell(t)
	for _, kind := range []api.LeaseKind{api.KindMem, api.KindBlock} {
		l, token := c.bind(t, c.lease(string(kind), kind, 8<<20, time.Minute))
		data := make([]byte, 8<<20)
		for i := range data {
			data[i] = byte(i ^ i>>9 ^ i>>17)
		}
		if status, body := c.do(t, http.MethodPut, l, "", token, data); status != http.StatusNoContent {
			t.Fatalf("%s: write answers %d %s", kind, status, body)
		}
		if status, body := c.do(t, http.MethodGet, l, "", token, nil); status != http.StatusOK || body != string(data) {
			t.Fatalf("%s: read answers %d, %d bytes", kind, status, len(body))
		}
		if status, body := c.do(t, http.MethodPut, l, "?offset=1", token, bytes.Repeat([]byte{7}, 8<<20)); status != http.StatusUnprocessableEntity {
			t.Fatalf("%s: write past the end answers %d %s", kind, status, body)
		}
		if _, body := c.do(t, http.MethodGet, l, "", token, nil); body != string(data) {
			t.Fatalf("%s: a write past the end wrote", kind)
		}
	}
}

// Clients that send their bodies byte by byte hold nothing that others need: those are served
// as fast as before.
func TestSlowClientsSlowNobodyDown(t *testing.T) {
	c := newRealCell(t)
	l, token := c.bind(t, c.lease("m", api.KindMem, 1<<20, time.Minute))
	conf := pki.ClientTLS(pki.ClientOptions{
		Roots: c.config.Roots, ClusterID: "g-test", Server: api.RoleCell,
		Cert: c.issue(pki.Identity{Role: api.RoleTenant, Name: "acme"}), // another key than the others'
	})
	conf.ServerName = "127.0.0.1"
	conf.NextProtos = []string{"http/1.1"}
	addr := strings.TrimPrefix(c.agent.dataURL, "https://")
	p99 := func() time.Duration {
		const n = 200
		took := make([]time.Duration, 0, n)
		for range n {
			start := time.Now()
			if status, body := c.do(t, http.MethodGet, l, "?length=4096", token, nil); status != http.StatusOK {
				t.Fatalf("a read answers %d %s", status, body)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return took[n*99/100]
	}
	before := p99()
	const slow = 300
	var answers [slow]net.Conn
	for i := range slow {
		conn, err := tls.Dial("tcp", addr, conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		answers[i] = conn
		if _, err := fmt.Fprintf(conn, "PUT /v1/leases/m HTTP/1.1\r\nHost: cell\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\nx", token); err != nil {
			t.Fatal(err)
		}
	}
	// Those beyond the share of one client are refused at once.
	var refused atomic.Int64
	var wg sync.WaitGroup
	limit := time.Now().Add(time.Second)
	for _, conn := range answers {
		wg.Go(func() {
			_ = conn.SetReadDeadline(limit)
			var head [12]byte
			if _, err := io.ReadFull(conn, head[:]); err == nil && string(head[9:]) == "429" {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n != slow-operationsPerPeer {
		t.Errorf("%d of %d slow clients were refused, %d may be under way", n, slow, operationsPerPeer)
	}
	after := p99()
	t.Logf("p99 of a read %s, %s with %d slow clients", before, after, slow)
	if after > 2*before+100*time.Millisecond {
		t.Errorf("p99 of a read went from %s to %s", before, after)
	}
}
