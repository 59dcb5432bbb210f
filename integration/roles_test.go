package integration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// rolesFile is the one table of who may what: the server's own test reads it too.
const rolesFile = "../api/server/testdata/roles.txt"

// row is a line of it: what is asked, and what it says of each column.
type row struct {
	method, path string
	marks        map[string]string
}

// readRoles reads the table.
func readRoles(t *testing.T) []row {
	t.Helper()
	b, err := os.ReadFile(rolesFile)
	if err != nil {
		t.Fatal(err)
	}
	columns, rows := []string(nil), []row(nil)
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if strings.HasPrefix(line, "# operator ") {
			columns = words[1:]
		}
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != len(columns)+2 {
			t.Fatalf("a line of the table has %d words: %s", len(words), line)
		}
		r := row{method: words[len(columns)], path: words[len(columns)+1], marks: map[string]string{}}
		for i, c := range columns {
			r.marks[c] = words[i]
		}
		rows = append(rows, r)
	}
	return rows
}

// hides reports whether the row tells somebody that there is no such thing.
func (r row) hides() bool {
	for _, m := range r.marks {
		if m == "h" {
			return true
		}
	}
	return false
}

// visitors are one caller for each column: the folder of its certificate, or its cookie.
type visitors struct {
	folders map[string]string
	cookie  string
	// What the paths name: of acme, but for the cell.
	lease  api.Grant
	run    api.RunID
	digest string
	cell   string
	// takeover is how an impostor would register as that cell.
	takeover string
}

func (d *door) visitors(t *testing.T) *visitors {
	t.Helper()
	foreign := newFakeCell(t, d, "gcp", "gcp-roles")
	foreign.register(t) // before that it is bound to no key
	v := &visitors{cell: "local-1", folders: map[string]string{
		"operator": filepath.Join(d.DevDir(), "operator"), "nobody": nobody, "foreign": foreign.folder,
		"tenant": d.issue(t, "--role", "tenant", "--name", "acme"), "stranger": d.issue(t, "--role", "tenant", "--name", "globex"),
		"viewer": d.issue(t, "--role", "viewer", "--name", "eve"), "scheduler": d.issue(t, "--role", "scheduler", "--name", "s1"),
		"cell": filepath.Join(d.scratch, "cert", "local-1"), "console": nobody,
	}}
	v.folders["impostor"] = d.issue(t, "--role", "cell", "--provider", "local", "--cell-id", v.cell)
	thief := newAgent(t, d, "local", v.cell, v.folders["impostor"])
	b, err := json.Marshal(thief.request())
	if err != nil {
		t.Fatal(err)
	}
	v.takeover = string(b)
	revoked := newFakeCell(t, d, "gcp", "gcp-outcast")
	revoked.register(t)
	d.must(t, "provider", "revoke-cell", "gcp", "gcp-outcast", "--now", "--yes")
	v.folders["revoked"] = revoked.folder
	// The cell's own key: the cluster takes no other one for it.
	if err := os.MkdirAll(v.folders["cell"], 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"cell.pem": "cert.pem", "cell-key.pem": "key.pem"} {
		b, err := os.ReadFile(filepath.Join(d.DevDir(), "nodes", v.cell, "identity", from))
		if err == nil {
			err = os.WriteFile(filepath.Join(v.folders["cell"], to), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	v.cookie = d.session(t)

	var set api.GrantSet
	d.into(t, &set, "lease", "request", "--provider", "local", "--tenant", "acme", "--mem", "64K", "--ttl", "10m")
	v.lease = set.Leases[0]
	var run api.RunAnswer
	d.into(t, &run, d.as(v.folders["tenant"], "deploy", "run", "--provider", "local", "--module", d.module(t, "roles", hello))...)
	v.run = run.ID
	sum := sha256.Sum256([]byte("acme's blob"))
	v.digest = "sha256:" + hex.EncodeToString(sum[:])
	if resp, b := d.send(t, call{who: v.folders["tenant"], method: "PUT", path: "/api/v1/blobs/" + v.digest, body: "acme's blob"}); resp.StatusCode >= 300 {
		t.Fatalf("put a blob: %s: %s", resp.Status, b)
	}
	return v
}

// session logs in to the console by its one-time link and returns the cookie.
func (d *door) session(t *testing.T) string {
	t.Helper()
	s, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Console, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.client(t, nobody).Transport.RoundTrip(req) // it leads on to a page
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, c := range resp.Cookies() {
		return c.Name + "=" + c.Value
	}
	t.Fatalf("the login is answered %s without a cookie", resp.Status)
	return ""
}

// call makes a request of a row that harms nothing where it is let in.
func (v *visitors) call(r row, column string) call {
	cell := "nowhere-1"
	if r.marks["foreign"] == "m" {
		cell = v.cell
	}
	id := string(v.lease.ID)
	if strings.Contains(r.path, "/runs/") {
		id = string(v.run)
	}
	c := call{who: v.folders[column], method: r.method, header: map[string]string{}}
	c.path = strings.NewReplacer("{p}", "nowhere", "{c}", cell, "{id}", id, "{name}", "response.json", "{t}", "nowhere",
		"{digest}", v.digest, "{n}", "s9", "{ask}", "a-nosuchask", "{$}", "").Replace(r.path)
	if column == "console" {
		c.header["Cookie"] = v.cookie
	}
	_, verb, _ := strings.Cut(c.path[strings.LastIndex(c.path, "/")+1:], ":")
	switch {
	case verb == "renew" && r.hides():
		c.path, c.body = c.path+"?dry_run=true", `{"ttl_ms":600000}`
	case verb == "free", verb == "remove", verb == "revoke" && strings.Contains(r.path, "/leases/"):
		c.path += "?dry_run=true"
	case verb == "token":
	case column == "impostor" && strings.HasSuffix(r.path, "/register"): // where a key is bound it is not the door that refuses
		c.body = v.takeover
	case strings.HasSuffix(r.path, "/data"):
		c.path, c.header[api.HeaderLeaseToken] = c.path+"?length=0", v.lease.Token
	case r.method == http.MethodPost:
		c.body = `{"nonsense":` // who is let in is told that this is no JSON
	}
	return c
}

// testRoles holds a real cluster against the table: every route, as everybody, at the leader and at a follower;
// the data plane of a cell; and the ports between schedulers.
func (d *door) testRoles(t *testing.T) {
	defer d.sound(t)
	v, asked := d.visitors(t), 0
	for _, r := range readRoles(t) {
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			for column, mark := range r.marks {
				if mark == "." {
					continue
				}
				asked++
				switch {
				case r.method == "TLS":
					d.wantPort(t, r.path, column, mark, v)
				case strings.HasPrefix(r.path, "cell:"):
					d.wantPlane(t, r, column, mark, v)
				default:
					for at := range 2 {
						c := v.call(r, column)
						c.at = at
						status, kind := d.peek(t, c)
						for again := 0; mark != "+" && kind == api.NoLeader && again < 5; again++ { // it may change on a busy machine
							status, kind = d.peek(t, c)
						}
						wantMark(t, r, column, mark, status, kind)
					}
				}
			}
		})
	}
	if asked < 600 {
		t.Errorf("only %d cells of the table were asked", asked)
	}
	if l := showLease(t, d, v.lease.ID); l.State != api.LeaseActive || l.Generation != 1 {
		t.Errorf("somebody changed the lease: %+v", l)
	}
	freeAll(t, d, "acme")
}

// wantMark compares an answer with what the table says.
func wantMark(t *testing.T, r row, column, mark string, status int, kind api.Kind) {
	t.Helper()
	red := map[string]api.Kind{"u": api.Unauthenticated, "-": api.Forbidden, "h": api.NotFound, "m": api.IdentityMismatch, "r": api.IdentityRevoked, "x": hungUp}
	want, refused := red[mark]
	switch {
	case refused:
		if kind != want || status != 0 && status != want.Status() {
			t.Errorf("%s is answered %d %q, want %s", column, status, kind, want)
		}
	case mark != "+":
		t.Errorf("the table says %q of %s", mark, column)
	case kind == api.Unauthenticated, kind == api.Forbidden, kind == api.IdentityMismatch, kind == api.IdentityRevoked, kind == hungUp,
		kind == api.NotFound && r.hides(), kind == api.Internal:
		t.Errorf("%s is answered %d %q, and should be let in", column, status, kind)
	}
}

// hungUp stands for a connection that was ended without an answer.
const hungUp api.Kind = "the connection is ended"

// peek asks and reads the beginning of the answer: some have no end.
func (d *door) peek(t *testing.T, c call) (int, api.Kind) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, d.urls[c.at]+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.client(t, c.who).Transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusBadRequest {
		if !strings.HasSuffix(c.path, "/events") {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		return resp.StatusCode, ""
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if c.method == http.MethodHead {
		return resp.StatusCode, api.Kind(resp.Header.Get("Grafos-Kind"))
	}
	var p api.Error
	if err := json.Unmarshal(b, &p); err != nil || p.Status != resp.StatusCode || len(p.Detail) < 12 {
		t.Errorf("%s %s: status %d comes with %.300q: %v", c.method, c.path, resp.StatusCode, b, err)
	}
	return resp.StatusCode, p.Kind
}

// wantPlane asks the cell itself, with the lease's token: the token alone opens nothing.
func (d *door) wantPlane(t *testing.T, r row, column, mark string, v *visitors) {
	t.Helper()
	who := v.folders[column]
	h := d.planeClient(t, who)
	if column == "nobody" { // planeClient takes that for the operator
		conf, err := d.TLS(nil, api.RoleCell)
		if err != nil {
			t.Fatal(err)
		}
		h = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	}
	got := d.attempt(t, v.lease.Coordinate+"?length=0", map[string]string{"Authorization": "Bearer " + v.lease.Token}, h, attempt{write: r.method == http.MethodPut})
	if strings.HasPrefix(string(got.kind), "connection: ") {
		got.kind = hungUp
	}
	wantMark(t, r, column, mark, got.status, got.kind)
}

// wantPort knocks at a port of every scheduler with the column's certificate.
func (d *door) wantPort(t *testing.T, port, column, mark string, v *visitors) {
	t.Helper()
	states, err := d.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		addr, within := s.RaftAddr, refusalTime
		if port == "gossip" {
			addr = d.flagOf(t, string(s.Node[:2]), "--gossip-bind")
		}
		if mark == "+" {
			within = silence
		}
		kind := api.Kind("")
		if err := knock(t, addr, v.folders[column], raftOf(s), within); err != nil {
			kind = hungUp
		}
		wantMark(t, row{}, column, mark, 0, kind)
	}
}
