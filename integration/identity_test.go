package integration

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// testTenants is about who sees and touches what.
func (d *door) testTenants(t *testing.T) {
	defer d.sound(t)
	acme := d.issue(t, "--role", "tenant", "--name", "acme")
	globex := d.issue(t, "--role", "tenant", "--name", "globex")
	viewer := d.issue(t, "--role", "viewer", "--name", "eve")
	unknown := d.issue(t, "--role", "tenant", "--name", "nobody-made-it")
	ask := []string{"lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "5m"}

	var mine, theirs api.GrantSet
	d.into(t, &mine, d.as(acme, ask...)...)
	d.into(t, &theirs, d.as(globex, ask...)...)
	var run api.RunAnswer
	d.into(t, &run, d.as(acme, "deploy", "run", "--provider", "local", "--module", d.module(t, "acmes", hello))...)
	id, other := string(mine.Leases[0].ID), string(theirs.Leases[0].ID)
	if mine.Leases[0].Tenant != "acme" || run.Tenant != "acme" || run.Output != "hello, world\n" {
		t.Errorf("a tenant's own: %+v, %+v", mine.Leases[0], run.Run)
	}

	t.Run("sees its own", func(t *testing.T) {
		for _, args := range []string{"lease list --all", "lease list"} {
			var list api.LeaseList
			d.into(t, &list, d.as(acme, strings.Fields(args)...)...)
			for _, l := range list.Leases {
				if l.Tenant != "acme" {
					t.Errorf("acme sees lease %s of %s", l.ID, l.Tenant)
				}
			}
		}
		var runs api.RunList
		d.into(t, &runs, d.as(globex, "run", "list")...)
		for _, r := range runs.Runs {
			if r.Tenant != "globex" {
				t.Errorf("globex sees run %s of %s", r.ID, r.Tenant)
			}
		}
		var tenants api.TenantList
		d.into(t, &tenants, d.as(acme, "admin", "list-tenants")...)
		if len(tenants.Tenants) != 1 || tenants.Tenants[0].ID != "acme" {
			t.Errorf("acme sees tenants %+v", tenants.Tenants)
		}
		hears(t, d, acme, string(run.ID), "globex", other)
	})
	// What is not its own does not exist for it: no refusal tells that it does.
	for _, args := range []string{
		"lease show " + other, "lease renew " + other, "lease free " + other, "lease token " + other, "lease read " + other, "lease write " + other,
	} {
		t.Run(args[:11]+"of another", func(t *testing.T) {
			d.refuse(t, api.NotFound, 5, "does not exist", d.as(acme, strings.Fields(args)...)...)
		})
	}
	for _, args := range []string{"run show " + string(run.ID), "artifacts " + string(run.ID)} {
		d.refuse(t, api.NotFound, 5, "does not exist", d.as(globex, strings.Fields(args)...)...)
	}
	for _, path := range []string{"/logs", "/artifacts/output.b64"} {
		d.refuseHTTP(t, api.NotFound, "does not exist", call{who: globex, path: "/api/v1/runs/" + string(run.ID) + path})
	}
	t.Run("blobs", func(t *testing.T) {
		path := "/api/v1/blobs/" + string(run.Module)
		if resp, b := d.send(t, call{who: acme, path: path}); resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(b), "\x00asm") {
			t.Errorf("its own module: %s", resp.Status)
		}
		d.refuseHTTP(t, api.NotFound, "does not exist", call{who: globex, path: path})
		d.refuseHTTP(t, api.Forbidden, "viewer", call{who: viewer, path: path})
		body := `{"provider":"local","ttl_ms":60000,"resources":{"cpu":10,"mem":65536},"module":"` + string(run.Module) + `"}`
		d.refuseHTTP(t, api.NotFound, "never put by tenant globex", call{who: globex, path: "/api/v1/runs", body: body})
	})
	t.Run("acts for itself only", func(t *testing.T) {
		d.refuse(t, api.Forbidden, 6, "cannot act for tenant globex", d.as(acme, append(ask, "--tenant", "globex")...)...)
		d.refuse(t, api.Forbidden, 6, "cannot see tenant globex", d.as(acme, "lease", "list", "--tenant", "globex")...)
		d.refuse(t, api.Forbidden, 6, "globex", d.as(acme, "run", "list", "--tenant", "globex")...)
	})
	for _, args := range []string{
		"admin create-tenant more", "admin set-quota acme --mem 1T", "admin delete-tenant globex --yes", "admin audit-query",
		"provider disable local", "provider enable aws", "provider revoke-cell local local-1 --yes", "lease revoke " + id + " --yes",
	} {
		t.Run("operators only: "+args, func(t *testing.T) {
			for _, who := range []string{acme, viewer} {
				if strings.Contains(args, "audit") && who == viewer {
					continue // a viewer looks at everything
				}
				d.refuse(t, api.Forbidden, 6, "operator", d.as(who, strings.Fields(args)...)...)
			}
		})
	}
	t.Run("a viewer looks", func(t *testing.T) {
		for _, args := range []string{"lease show " + id, "run show " + string(run.ID), "provider status local", "admin audit-query", "admin list-tenants"} {
			d.must(t, d.as(viewer, strings.Fields(args)...)...)
		}
		d.refuse(t, api.Forbidden, 6, "operator or tenant", d.as(viewer, append(ask, "--tenant", "acme")...)...)
		d.refuse(t, api.Forbidden, 6, "operator or tenant", d.as(viewer, "lease", "token", id)...)
		d.refuse(t, api.Forbidden, 6, "operator or tenant", d.as(viewer, "lease", "free", id)...)
	})
	d.refuse(t, api.NotFound, 5, "create-tenant nobody-made-it", d.as(unknown, ask...)...)
	t.Run("its own", func(t *testing.T) {
		if err := reach(t, d, mine.Leases[0]); err != nil {
			t.Error(err)
		}
		d.must(t, d.as(acme, "lease", "renew", id)...)
		d.must(t, d.as(acme, "lease", "free", id)...)
		d.must(t, d.as(globex, "lease", "free", other)...)
		torndown(t, d, mine.Leases[0].ID, theirs.Leases[0].ID)
	})
	t.Run("audit tells who", func(t *testing.T) {
		out := string(d.must(t, "admin", "audit-query", "--kind", "lease_granted"))
		if !strings.Contains(out, `"identity":"tenant/acme"`) || !strings.Contains(out, `"identity":"operator/dev"`) {
			t.Errorf("%.600s", out)
		}
	})
}

// hears reads somebody's events up to the last one about a run, and finds no word of what
// it must not hear.
func hears(t *testing.T, d *door, who, run string, never ...string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.urls[1]+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.client(t, who).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // the stream has no end
	for l := newLines(resp.Body); l.next(); {
		line := l.got[len(l.got)-1]
		for _, word := range never {
			if strings.Contains(line, word) {
				t.Errorf("it hears of %s: %s", word, line)
			}
		}
		if strings.Contains(line, run) && strings.Contains(line, "run_finalised") {
			return
		}
	}
	t.Error("the events ended before the run did")
}

// testCertificates shows wrong certificates at the API and on the Raft port.
func (d *door) testCertificates(t *testing.T) {
	defer d.sound(t)
	foreign := filepath.Join(d.scratch, "foreign-material")
	d.must(t, "admin", "init-ca", "--out", foreign)
	evil := d.issue(t, "--material", foreign, "--role", "operator", "--name", "evil")
	evilNode := d.issue(t, "--material", foreign, "--role", "scheduler", "--name", "s1")
	cell := d.issue(t, "--role", "cell", "--provider", "local", "--cell-id", "local-1")
	node := d.issue(t, "--role", "scheduler", "--name", "s1")
	tenantCert := d.issue(t, "--role", "tenant", "--name", "acme")

	t.Run("another CA", func(t *testing.T) {
		d.refuse(t, api.Unauthenticated, 6, "--ca, --cert and --key", d.as(evil, "lease", "list")...)
		d.refuse(t, api.Unauthenticated, 6, "another CA issued it", "lease", "list", "--ca", filepath.Join(foreign, "ca.pem"))
	})
	t.Run("expired", func(t *testing.T) {
		m, err := d.Material()
		if err != nil {
			t.Fatal(err)
		}
		old, err := m.Issue(pki.CertRequest{
			Identity: pki.Identity{ClusterID: m.ClusterID, Role: api.RoleOperator, Name: "old"},
			Now:      time.Now().Add(-48 * time.Hour), TTL: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(d.scratch, "cert", "old")
		if err := errors.Join(os.MkdirAll(folder, 0o700), old.Write(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))); err != nil {
			t.Fatal(err)
		}
		d.refuse(t, api.Unauthenticated, 6, "expired", d.as(folder, "lease", "list")...)
	})
	t.Run("of a node", func(t *testing.T) {
		for _, who := range []string{cell, node} {
			d.refuse(t, api.Forbidden, 6, "may not do this", d.as(who, "lease", "list")...)
			d.refuse(t, api.Forbidden, 6, "may not do this", d.as(who, "admin", "create-tenant", "x")...)
		}
	})
	t.Run("key of another", func(t *testing.T) {
		d.refuse(t, api.IdentityMismatch, 6, "do not belong together", "lease", "list", "--cert", filepath.Join(evil, "cert.pem"), "--key", filepath.Join(cell, "key.pem"))
		d.refuse(t, api.InvalidArgument, 2, "--key", "lease", "list", "--cert", filepath.Join(evil, "cert.pem"), "--key", "")
	})
	t.Run("raft", func(t *testing.T) {
		states, err := d.States(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			for who, folder := range map[string]string{
				"nobody": "", "tenant": tenantCert, "cell": cell, "operator": filepath.Join(d.DevDir(), "operator"),
				"operator of another CA": evil, "scheduler of another CA": evilNode,
			} {
				if err := knock(t, s.RaftAddr, folder, raftOf(s), refusalTime); err == nil {
					t.Errorf("the Raft port of %s let %s in", s.Node, who)
				}
			}
			if err := knock(t, s.RaftAddr, node, "h2", refusalTime); err == nil {
				t.Errorf("the Raft port of %s speaks another protocol", s.Node)
			}
		}
		if err := knock(t, states[0].RaftAddr, node, raftOf(states[0]), silence); err != nil {
			t.Errorf("the Raft port refuses a scheduler too, so that this test shows nothing: %v", err)
		}
	})
	t.Run("nobody", d.testNobody)
}

// raftOf is the protocol of what is meant for one scheduler.
func raftOf(s *api.NodeState) string { return "grafos-raft/" + string(s.Node) }

// How long an open door is silent until it counts as open, and a refusal may take on a busy machine.
const (
	silence     = 300 * time.Millisecond
	refusalTime = 15 * time.Second
)

// knock opens a TLS connection with the certificate in a folder, and returns why it was
// ended. What an open door says is silence, for as long as within.
func knock(t *testing.T, addr, folder, protocol string, within time.Duration) error {
	t.Helper()
	conf := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{protocol}}
	if folder != "" {
		cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		// Whatever CAs the other end names.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, err = conn.Read(make([]byte, 1))
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil
	}
	return err
}

// testNobody asks for every route without a certificate, with a forged session, and as
// somebody who only claims to have been forwarded.
func (d *door) testNobody(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Security *[]any `json:"security"`
		} `json:"paths"`
	}
	d.takeHTTP(t, &doc, call{who: operator, path: "/api/v1/openapi.json"})
	var open []string
	closed := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Security != nil && len(*op.Security) == 0 {
				open = append(open, path)
				continue
			}
			closed++
			at := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
			for _, header := range []map[string]string{
				nil,
				{"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
				{"Cookie": "grafos-session=x"},
				{"Grafos-Forwarded": "s1", "Grafos-Caller": "eyJSb2xlIjoib3BlcmF0b3IifQ=="},
			} {
				resp, b := d.send(t, call{who: nobody, method: strings.ToUpper(method), path: at, header: header})
				if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s %s with %v: %s: %.200s", method, at, header, resp.Status, b)
				}
				if method != "head" && header == nil {
					checkProblem(t, b, api.Unauthenticated, "client certificate")
				}
			}
		}
	}
	slices.Sort(open)
	want := []string{"/api/v1/cells/bootstrap", "/ca.pem", "/health", "/livez", "/readyz"}
	if !slices.Equal(open, want) || closed < 40 {
		t.Errorf("%d routes are closed, open are %v", closed, open)
	}
	d.refuseHTTP(t, api.Unauthenticated, "client certificate", call{who: nobody, path: "/api/v1/nonsense"})
}

// testBootstrap is about tokens that make hosts cells.
func (d *door) testBootstrap(t *testing.T) {
	defer d.sound(t)
	mint := func(t *testing.T, args ...string) string {
		t.Helper()
		var a struct{ Token string }
		d.into(t, &a, append([]string{"admin", "bootstrap-token", "--provider", "aws"}, args...)...)
		return a.Token
	}
	write := func(name, token string) string {
		file := filepath.Join(d.scratch, name)
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	join := func(provider, cell, file, dir string, more ...string) []string {
		return append([]string{
			"cloud", "bootstrap-cell", "--provider", provider, "--cell-id", cell, "--token-file", file,
			"--scheduler", strings.Join(d.urls, ","), "--dir", filepath.Join(d.scratch, dir),
		}, more...)
	}
	file := write("token", mint(t, "--cell-id", "aws-1"))
	folder := filepath.Join(d.scratch, "aws-1")

	t.Run("joins", func(t *testing.T) {
		fits(t, `{"cluster_id":"text","provider":"aws","cell_id":"aws-1","schedulers":["text"],"not_after":"time"}`, d.must(t, join("aws", "aws-1", file, "aws-1")...))
		if info, err := os.Stat(filepath.Join(folder, "cell-key.pem")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key: %v, %v", info, err)
		}
	})
	t.Run("same key again", func(t *testing.T) {
		key, err := os.ReadFile(filepath.Join(folder, "cell-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		d.must(t, join("aws", "aws-1", file, "aws-1")...)
		if again, err := os.ReadFile(filepath.Join(folder, "cell-key.pem")); err != nil || string(again) != string(key) {
			t.Errorf("the key changed: %v", err)
		}
	})
	t.Run("second key", func(t *testing.T) {
		d.refuse(t, api.BootstrapTokenUsed, 6, "mint another token", join("aws", "aws-1", file, "second")...)
		if _, err := os.Stat(filepath.Join(d.scratch, "second", "cell.json")); err == nil {
			t.Error("an identity was written all the same")
		}
	})
	t.Run("two uses", func(t *testing.T) {
		twice := write("twice", mint(t, "--uses", "2"))
		d.must(t, join("aws", "aws-2", twice, "aws-2")...)
		d.must(t, join("aws", "aws-3", twice, "aws-3")...)
		d.refuse(t, api.BootstrapTokenUsed, 6, "2 of 2", join("aws", "aws-4", twice, "aws-4")...)
	})
	t.Run("expired", func(t *testing.T) {
		m, err := d.Material()
		if err != nil {
			t.Fatal(err)
		}
		old, err := m.MintBootstrap(pki.BootstrapClaims{Provider: "aws", Uses: 1, IssuedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now().Add(-time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		d.refuse(t, api.BootstrapTokenInvalid, 6, "expired 1m", join("aws", "aws-5", write("old-token", old), "x")...)
	})
	foreign := filepath.Join(d.scratch, "other-material")
	d.must(t, "admin", "init-ca", "--out", foreign)
	theirs := mint(t, "--material", foreign)
	for _, tt := range []struct {
		name  string
		kind  api.Kind
		exit  int
		words string
		args  []string
	}{
		{"another cell", api.BootstrapTokenInvalid, 6, "--cell-id aws-9", join("aws", "aws-9", file, "x")},
		{"another provider", api.BootstrapTokenInvalid, 6, "--provider gcp", join("gcp", "aws-1", file, "x")},
		{"another cluster", api.IdentityMismatch, 6, "another cluster", join("aws", "aws-9", write("theirs", theirs), "x")},
		{"no token", api.BootstrapTokenInvalid, 6, "token", join("aws", "aws-9", write("garbage", "this is no token"), "x")},
		{"empty token", api.BootstrapTokenInvalid, 6, "token", join("aws", "aws-9", write("empty", ""), "x")},
		{"long token", api.TooLarge, 2, "8 KiB", join("aws", "aws-9", write("long-token", strings.Repeat("A", 9000)), "x")},
		{"no file", api.InvalidArgument, 2, "/nowhere", join("aws", "aws-9", "/nowhere", "x")},
		{"id of another provider's cell", api.IdentityMismatch, 6, "unique in the whole cluster", join("aws", "local-1", write("any", mint(t)), "x")},
		{"unknown provider", api.NotFound, 5, "nowhere", join("nowhere", "n-1", write("unknown", mintFor(t, d, "nowhere")), "x")},
		{"no scheduler", api.NoLeader, 8, "", append(join("aws", "aws-1", file, "x"), "--scheduler", "https://127.0.0.1:1", "--timeout", "300ms")},
		{"no name", api.InvalidArgument, 2, "cell id", join("aws", "No/Name", file, "x")},
	} {
		t.Run(tt.name, func(t *testing.T) { d.refuse(t, tt.kind, tt.exit, tt.words, tt.args...) })
	}
	t.Run("http", func(t *testing.T) {
		csr, _, err := pki.NewCSR()
		if err != nil {
			t.Fatal(err)
		}
		body := func(token, csr string) string {
			b, err := json.Marshal(api.BootstrapRequest{Token: token, Provider: "aws", CellID: "aws-7", CSR: csr})
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		good := mint(t)
		cut := good[:strings.LastIndex(good, ".")+5]
		none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0" + good[strings.Index(good, "."):strings.LastIndex(good, ".")] + "."
		for _, tt := range []struct {
			name, token, csr string
			kind             api.Kind
		}{
			{"foreign", theirs, string(csr), api.BootstrapTokenInvalid},
			{"garbage", "a.b.c", string(csr), api.BootstrapTokenInvalid},
			{"cut", cut, string(csr), api.BootstrapTokenInvalid},
			{"unsigned", none, string(csr), api.BootstrapTokenInvalid},
			{"long", strings.Repeat("A", 5000), string(csr), api.BootstrapTokenInvalid},
			{"no request", good, "", api.InvalidArgument},
			{"request of noise", good, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", api.InvalidArgument},
			{"long request", good, "-----BEGIN CERTIFICATE REQUEST-----\n" + strings.Repeat("AAAA", 10_000) + "\n-----END CERTIFICATE REQUEST-----\n", api.TooLarge},
		} {
			t.Run(tt.name, func(t *testing.T) {
				for at := range 2 {
					p := d.refuseHTTP(t, tt.kind, "", call{who: nobody, path: "/api/v1/cells/bootstrap", body: body(tt.token, tt.csr), at: at})
					if strings.Contains(p.Detail+p.Hint, tt.token) {
						t.Error("the refusal repeats the token")
					}
				}
			})
		}
		var a api.BootstrapAnswer
		d.takeHTTP(t, &a, call{who: nobody, path: "/api/v1/cells/bootstrap", body: body(good, string(csr)), at: 1})
		d.takeHTTP(t, &a, call{who: nobody, path: "/api/v1/cells/bootstrap", body: body(good, string(csr)), at: 2})
	})
}

func mintFor(t *testing.T, d *door, provider string) string {
	t.Helper()
	var a struct{ Token string }
	d.into(t, &a, "admin", "bootstrap-token", "--provider", provider)
	return a.Token
}
