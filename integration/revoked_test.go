package integration

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/internal/harness"
)

// outcast is a cell that is revoked, with everything that it ever had: its keys and certificates, and
// the token that brought it in.
type outcast struct {
	*harness.Cluster
	t        *testing.T
	material *pki.Material
	provider api.ProviderID
	id       api.CellID
	token    string
	csr      []byte // that of the token
	epoch    uint64
	first    *pki.Credential // the key before the renewal
	now      *pki.Credential
	n        int      // numbers new names
	urls     []string // of the schedulers that run
}

// newOutcast brings a cell in with a token, and has it renew its identity.
func newOutcast(t *testing.T, c *harness.Cluster, provider api.ProviderID, id api.CellID) *outcast {
	t.Helper()
	m, err := c.Material()
	if err != nil {
		t.Fatal(err)
	}
	o := &outcast{Cluster: c, t: t, material: m, provider: provider, id: id}
	o.look()
	if o.token, err = m.MintBootstrap(pki.BootstrapClaims{Provider: provider, Uses: 1}); err != nil {
		t.Fatal(err)
	}
	var key []byte
	if o.csr, key, err = pki.NewCSR(); err != nil {
		t.Fatal(err)
	}
	a, err := o.as(nil).Bootstrap(t.Context(), api.BootstrapRequest{Token: o.token, Provider: provider, CellID: id, CSR: string(o.csr)})
	if err != nil {
		t.Fatal(err)
	}
	o.first = &pki.Credential{CertPEM: []byte(a.Certificate), KeyPEM: key}
	o.register(o.first)
	csr, key, err := pki.NewCSR()
	if err != nil {
		t.Fatal(err)
	}
	if a, err = o.as(o.first).RenewIdentity(t.Context(), provider, id, api.RenewalRequest{CSR: string(csr)}); err != nil {
		t.Fatal(err)
	}
	o.now = &pki.Credential{CertPEM: []byte(a.Certificate), KeyPEM: key}
	o.register(o.now)
	return o
}

// as is a client of every scheduler under a credential; nil is nobody.
func (o *outcast) as(cred *pki.Credential, urls ...string) *client.Client {
	o.t.Helper()
	if len(urls) == 0 {
		urls = o.urls
	}
	conf, err := o.TLS(cred, api.RoleScheduler)
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := client.New(client.Config{URLs: urls, TLS: conf, Timeout: 15 * time.Second, Log: hclog.NewNullLogger()})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = c.Close() })
	return c
}

// look finds the schedulers that run.
func (o *outcast) look() {
	o.t.Helper()
	s, err := o.Status(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	o.urls = nil
	for _, n := range s.Schedulers {
		if n.Role != "down" {
			o.urls = append(o.urls, n.URL)
		}
	}
}

func (o *outcast) request(id api.CellID) api.RegisterRequest {
	return api.RegisterRequest{Provider: o.provider, CellID: id, Agent: "agent-1", BrokerKey: strings.Repeat("0", 64), DataURL: "https://127.0.0.1:1", Version: "test"}
}

func (o *outcast) register(cred *pki.Credential) {
	o.t.Helper()
	a, err := o.as(cred).Register(o.t.Context(), o.request(o.id))
	if err != nil {
		o.t.Fatal(err)
	}
	o.epoch = a.Epoch
}

// certified is a certificate that somebody with the cluster's material made for a key of the cell, or,
// with nil, for a new one.
func (o *outcast) certified(key *pki.Credential, provider api.ProviderID, id api.CellID) *pki.Credential {
	o.t.Helper()
	request := pki.CertRequest{Identity: pki.Identity{Role: api.RoleCell, Provider: provider, Cell: id}}
	if key == nil {
		cred, err := o.material.Issue(request)
		if err != nil {
			o.t.Fatal(err)
		}
		return cred
	}
	pub, _, err := pki.ParseCSR(o.requestOf(key))
	if err != nil {
		o.t.Fatal(err)
	}
	cert, _, err := o.material.Sign(pub, request)
	if err != nil {
		o.t.Fatal(err)
	}
	return &pki.Credential{CertPEM: cert, KeyPEM: key.KeyPEM}
}

// requestOf is a certificate request of a key that the cell has.
func (o *outcast) requestOf(cred *pki.Credential) []byte {
	o.t.Helper()
	dir := o.t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := cred.Write(certPath, keyPath); err != nil {
		o.t.Fatal(err)
	}
	ring, err := pki.OpenKeyring(certPath, keyPath)
	if err != nil {
		o.t.Fatal(err)
	}
	csr, err := ring.Request(false)
	if err != nil {
		o.t.Fatal(err)
	}
	return csr
}

// another is an id that no cell had.
func (o *outcast) another() api.CellID {
	o.n++
	return o.id + api.CellID("-again-"+string(rune('a'+o.n%26))+string(rune('a'+o.n/26)))
}

// ways are those in which a revoked cell may try to come back. Each must be refused, as revoked.
func (o *outcast) ways() map[string]func(ctx context.Context) error {
	bootstrap := func(ctx context.Context, r api.BootstrapRequest) error {
		_, err := o.as(nil).Bootstrap(ctx, r)
		return err
	}
	token := func() string {
		token, err := o.material.MintBootstrap(pki.BootstrapClaims{Provider: o.provider, Uses: 1})
		if err != nil {
			o.t.Fatal(err)
		}
		return token
	}
	fresh := func() string {
		csr, _, err := pki.NewCSR()
		if err != nil {
			o.t.Fatal(err)
		}
		return string(csr)
	}
	register := func(ctx context.Context, cred *pki.Credential, id api.CellID) error {
		_, err := o.as(cred).Register(ctx, o.request(id))
		return err
	}
	watch := func(ctx context.Context, standby bool) error {
		for _, err := range o.as(o.now).Watch(ctx, o.provider, o.id, api.WatchRequest{Epoch: o.epoch, Standby: standby}) {
			return err
		}
		return errors.New("the session just ended")
	}
	return map[string]func(ctx context.Context) error{
		"registers with its certificate":   func(ctx context.Context) error { return register(ctx, o.now, o.id) },
		"registers with the one before":    func(ctx context.Context) error { return register(ctx, o.first, o.id) },
		"registers with a new certificate": func(ctx context.Context) error { return register(ctx, o.certified(nil, o.provider, o.id), o.id) },
		"registers its key under a new name": func(ctx context.Context) error {
			id := o.another()
			return register(ctx, o.certified(o.now, o.provider, id), id)
		},
		"registers an old key under a new name": func(ctx context.Context) error {
			id := o.another()
			return register(ctx, o.certified(o.first, o.provider, id), id)
		},
		"opens a session": func(ctx context.Context) error { return watch(ctx, false) },
		"opens a standby": func(ctx context.Context) error { return watch(ctx, true) },
		"reports": func(ctx context.Context) error {
			_, err := o.as(o.now).Report(ctx, o.provider, o.id, api.Report{Epoch: o.epoch, Heartbeat: &api.Heartbeat{Seq: 99}})
			return err
		},
		"renews its identity": func(ctx context.Context) error {
			_, err := o.as(o.now).RenewIdentity(ctx, o.provider, o.id, api.RenewalRequest{CSR: fresh()})
			return err
		},
		"renews the certificate as if it had lapsed": func(ctx context.Context) error {
			return bootstrap(ctx, api.BootstrapRequest{Certificate: string(o.now.CertPEM), Provider: o.provider, CellID: o.id, CSR: string(o.requestOf(o.now))})
		},
		"renews the one before as if it had lapsed": func(ctx context.Context) error {
			return bootstrap(ctx, api.BootstrapRequest{Certificate: string(o.first.CertPEM), Provider: o.provider, CellID: o.id, CSR: string(o.requestOf(o.first))})
		},
		"uses its token again": func(ctx context.Context) error {
			return bootstrap(ctx, api.BootstrapRequest{Token: o.token, Provider: o.provider, CellID: o.id, CSR: string(o.csr)})
		},
		"uses a new token": func(ctx context.Context) error {
			return bootstrap(ctx, api.BootstrapRequest{Token: token(), Provider: o.provider, CellID: o.id, CSR: fresh()})
		},
		"uses a new token for its key, under a new name": func(ctx context.Context) error {
			return bootstrap(ctx, api.BootstrapRequest{Token: token(), Provider: o.provider, CellID: o.another(), CSR: string(o.requestOf(o.now))})
		},
		"fetches a blob": func(ctx context.Context) error {
			body, _, err := o.as(o.now).GetBlob(ctx, api.Digest("sha256:"+strings.Repeat("ab", 32)))
			if err == nil {
				_ = body.Close()
			}
			return err
		},
		"stores a blob": func(ctx context.Context) error {
			return o.as(o.now).PutBlob(ctx, api.Digest("sha256:"+strings.Repeat("ab", 32)), 1, strings.NewReader("x"))
		},
		"fetches what it is to write": func(ctx context.Context) error {
			body, err := o.as(o.now).RelayBody(ctx, o.id, "a-nosuchask")
			if err == nil {
				_ = body.Close()
			}
			return err
		},
		"answers an operation": func(ctx context.Context) error {
			return o.as(o.now).RelayAnswer(ctx, o.id, "a-nosuchask", api.RelayAnswer{})
		},
		"is forwarded by a scheduler": o.forwarded,
		"goes through each scheduler": func(ctx context.Context) error {
			var err error
			for _, u := range o.urls {
				if _, err = o.as(o.now, u).Register(ctx, o.request(o.id)); api.KindOf(err) != api.IdentityRevoked {
					return err
				}
			}
			return err
		},
	}
}

// forwarded asks as a scheduler does that has not heard of the revocation.
func (o *outcast) forwarded(ctx context.Context) error {
	cred, err := o.material.Issue(pki.CertRequest{Identity: pki.Identity{Role: api.RoleScheduler, Name: "s1"}})
	if err != nil {
		return err
	}
	conf, err := o.TLS(cred, api.RoleScheduler)
	if err != nil {
		return err
	}
	caller, err := json.Marshal(api.Caller{Role: api.RoleCell, Provider: o.provider, Cell: o.id})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.urls[0]+"/api/v1/cells/"+string(o.id)+":renew", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Grafos-Forwarded", "s1")
	req.Header.Set("Grafos-Caller", base64.StdEncoding.EncodeToString(caller))
	tr := &http.Transport{TLSClientConfig: conf}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusBadRequest {
		return errors.New("it was taken: " + resp.Status)
	}
	p := new(api.Error)
	if err := json.NewDecoder(resp.Body).Decode(p); err != nil {
		return err
	}
	return p
}

// tryAll tries every way.
func (o *outcast) tryAll(when string) {
	o.t.Helper()
	o.look()
	ways := o.ways()
	if len(ways) < 12 {
		o.t.Fatalf("%d ways", len(ways))
	}
	for name, way := range ways {
		ctx, cancel := context.WithTimeout(o.t.Context(), 15*time.Second)
		err := way(ctx)
		cancel()
		if api.KindOf(err) != api.IdentityRevoked {
			o.t.Errorf("%s, a revoked cell %s: %v", when, name, err)
		}
	}
	// Others come in as ever: it is the cell that is shut out.
	other := o.another()
	if _, err := o.as(o.certified(nil, o.provider, other)).Register(o.t.Context(), o.request(other)); err != nil {
		o.t.Errorf("%s, another cell: %v", when, err)
	}
}

// open are connections of the cell at a scheduler: one idle after a request, one with a session, one with a
// standby, and one in the middle of an upload. gone counts those that were closed.
func (o *outcast) open(u string, gone *atomic.Int64) int {
	o.t.Helper()
	at, err := url.Parse(u)
	if err != nil {
		o.t.Fatal(err)
	}
	conf, err := o.TLS(o.now, api.RoleScheduler)
	if err != nil {
		o.t.Fatal(err)
	}
	conf.NextProtos = []string{"http/1.1"}
	cell := "/api/v1/cells/" + string(o.id)
	requests := []string{
		"HEAD /api/v1/blobs/sha256:" + strings.Repeat("cd", 32) + " HTTP/1.1\r\nHost: s\r\n\r\n",
		"GET " + cell + "/watch?cell_epoch=" + itoa(o.epoch) + " HTTP/1.1\r\nHost: s\r\n\r\n",
		"GET " + cell + "/watch?standby=true&cell_epoch=" + itoa(o.epoch) + " HTTP/1.1\r\nHost: s\r\n\r\n",
		"PUT /api/v1/blobs/sha256:" + strings.Repeat("cd", 32) + " HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\nhalf",
	}
	for i, r := range requests {
		conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: conf}).DialContext(o.t.Context(), "tcp", at.Host)
		if err != nil {
			o.t.Fatal(err)
		}
		o.t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, r); err != nil {
			o.t.Fatal(err)
		}
		if i < 3 { // an upload is answered when it is whole
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				o.t.Fatal(err)
			}
		}
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			gone.Add(1)
		}()
	}
	return len(requests)
}

func itoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// TestRevokedForEver revokes a cell, which loses every connection at every scheduler within a second, and
// tries every way back: at once, and after all that might make the schedulers forget.
func TestRevokedForEver(t *testing.T) {
	c := up(t, 1)
	run := func(args ...string) {
		t.Helper()
		if _, err := c.Run(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	run("provider", "enable", "azure")
	before := filepath.Join(c.Dir(), "before.grafsnap")
	run("operator", "snapshot", "save", before)
	o := newOutcast(t, c, "azure", "azure-7")
	alive := filepath.Join(c.Dir(), "alive.grafsnap")
	run("operator", "snapshot", "save", alive)

	sameIndex(t, c)
	var gone atomic.Int64
	opened := 0
	for _, u := range o.urls {
		opened += o.open(u, &gone)
	}
	if n := gone.Load(); n != 0 {
		t.Fatalf("%d connections ended before the revocation", n)
	}
	op, err := c.Client(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = op.Close() }()
	began := time.Now()
	if _, err := op.RevokeCell(t.Context(), "azure", "azure-7", api.RevokeCellRequest{Now: true}, api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() string {
		if n := gone.Load(); n < int64(opened) {
			return "closed are " + itoa(uint64(n)) + " of " + itoa(uint64(opened))
		}
		return ""
	})
	took := time.Since(began)
	t.Logf("%d connections closed %s after the revocation was asked for", opened, took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("it took %s", took)
	}
	o.tryAll("at once")

	run("operator", "raft", "transfer")
	o.tryAll("at the next leader")

	for _, file := range []string{alive, before} {
		run("operator", "snapshot", "restore", file, "--yes")
		o.tryAll("after a restore of " + filepath.Base(file))
		checkAgreement(t, c) // which waits until every scheduler has the whole chain
	}
	wantGroup(t, c, "s1 s2 s3")

	// A scheduler with an empty disk gets the state as a snapshot.
	newcomer := followerOf(t, c).Name
	if err := c.Kill(t.Context(), newcomer); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.DevDir(), "nodes", newcomer)); err != nil {
		t.Fatal(err)
	}
	run("operator", "snapshot", "save", filepath.Join(c.Dir(), "again.grafsnap")) // the log begins after it
	if err := c.Restart(t.Context(), newcomer); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, c, "s1 s2 s3")
	o.tryAll("with a scheduler that was given a snapshot")

	for _, n := range []string{"s1", "s2", "s3"} {
		if err := c.Kill(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	// One after the other: the first is up only with the second, which is more than a restart waits for.
	for _, n := range []string{"s1", "s2", "s3"} {
		if err := c.Restart(t.Context(), n); err != nil && n != "s1" {
			t.Fatal(err)
		}
	}
	wantGroup(t, c, "s1 s2 s3")
	o.tryAll("after a restart of all")
	checkAgreement(t, c)
}

// TestRecoveredRevocation makes a cluster again from a scheduler that did not hear of a revocation, with the
// data of one that did beside it.
func TestRecoveredRevocation(t *testing.T) {
	c := up(t, 1)
	if _, err := c.Run(t.Context(), "provider", "enable", "azure"); err != nil {
		t.Fatal(err)
	}
	o := newOutcast(t, c, "azure", "azure-7")
	sameIndex(t, c)
	deaf := followerOf(t, c).Name
	if err := c.Kill(t.Context(), deaf); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), "provider", "revoke-cell", "azure", "azure-7", "--now", "--yes"); err != nil {
		t.Fatal(err)
	}
	var others []string
	for _, n := range []string{"s1", "s2", "s3"} {
		if n == deaf {
			continue
		}
		others = append(others, n)
		eventually(t, 5*time.Second, func() string {
			_, err := os.Stat(filepath.Join(c.DevDir(), "nodes", n, "revoked.json"))
			if err != nil {
				return err.Error()
			}
			return ""
		})
		if err := c.Kill(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	// What its disk has left of the other's data is the file alone: the log is lost.
	kept := filepath.Join(c.Dir(), "kept")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(c.DevDir(), "nodes", others[0], "revoked.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(kept, "revoked.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range others {
		if err := os.RemoveAll(filepath.Join(c.DevDir(), "nodes", n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Run(t.Context(), "operator", "recover", "--data-dir", filepath.Join(c.DevDir(), "nodes", deaf),
		"--material", filepath.Join(c.DevDir(), "material"), "--revoked", filepath.Join(kept, "revoked.json"), "--yes"); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context(), deaf); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, c, deaf)
	o.tryAll("after a recovery")
}
