package server

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// fillPath puts values into a route's pattern: the cell is the one that the certificate has.
func fillPath(pattern string) string {
	return strings.NewReplacer(
		"{p}", "aws", "{c}", "aws-1", "{id}", "x-1", "{name}", "a.txt", "{t}", "acme", "{digest}", string(digest("")), "{n}", "s1-abc", "{$}", "",
	).Replace(pattern)
}

// inProcess are the columns of testdata/roles.txt that fakes can tell apart, with whom they stand for.
func inProcess() map[string]api.Role {
	return map[string]api.Role{
		"operator": api.RoleOperator, "tenant": api.RoleTenant, "viewer": api.RoleViewer, "cell": api.RoleCell,
		"scheduler": api.RoleScheduler, "nobody": "",
	}
}

// rolesTable reads testdata/roles.txt: for each method and path, what it says of each column.
func rolesTable(t *testing.T) map[string]map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/roles.txt")
	if err != nil {
		t.Fatal(err)
	}
	columns, table := []string(nil), map[string]map[string]string{}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "# operator "):
			columns = words[1:]
		case len(words) == 0 || words[0] == "#":
		case len(words) != len(columns)+2:
			t.Fatalf("a line of the table has %d words: %s", len(words), line)
		default:
			row := map[string]string{}
			for i, c := range columns {
				row[c] = words[i]
			}
			table[strings.Join(words[len(columns):], " ")] = row
		}
	}
	return table
}

// TestRolesByRoutes asks every route as every role: what becomes of it stands in testdata/roles.txt. A
// real cluster is held against the same table (integration, TestFrontDoor).
func TestRolesByRoutes(t *testing.T) {
	n := start(t, func(c *Config) { c.Metrics = http.NotFoundHandler() })
	s, err := newServer(Config{Services: n.fake, Agent: n.fake, Peers: n.fake, Leader: n.leader, Auth: fakeAuth{}, Info: n.fake.info, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	table, asked := rolesTable(t), 0
	for _, rt := range s.routes() {
		name := rt.method + " " + rt.path
		row, ok := table[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
			continue
		}
		delete(table, name)
		for column, role := range inProcess() {
			asked++
			t.Run(string(role)+" "+name, func(t *testing.T) {
				status, p := ask(t, raw(t, role), rt.method, n.url+fillPath(rt.path), nil, http.Header{api.HeaderLeaseToken: {"t"}})
				wantMark(t, row[column], rt, status, p.Kind)
			})
		}
	}
	for name := range table {
		if !strings.Contains(name, " cell:") && !strings.HasPrefix(name, "TLS ") {
			t.Errorf("the table has %s, which is no route", name)
		}
	}
	if asked < 400 {
		t.Errorf("only %d cells of the table were asked", asked)
	}
}

// wantMark compares an answer with what the table says.
func wantMark(t *testing.T, mark string, rt route, status int, kind api.Kind) {
	t.Helper()
	refused := map[string]struct {
		status int
		kind   api.Kind
	}{"u": {http.StatusUnauthorized, api.Unauthenticated}, "-": {http.StatusForbidden, api.Forbidden}}
	want, red := refused[mark]
	switch {
	case red:
		if status != want.status || rt.method != http.MethodHead && kind != want.kind {
			t.Errorf("answered %d %q, want %d %s", status, kind, want.status, want.kind)
		}
	case mark != "+" && mark != "h": // what a service hides, a fake shows
		t.Errorf("the table says %q", mark)
	case rt.id == "register-cell" && kind == api.IdentityMismatch: // the empty body names another cell
	case status == http.StatusUnauthorized || kind == api.Forbidden || kind == api.IdentityMismatch:
		t.Errorf("refused: %d %q", status, kind)
	}
}

// TestPolicy spells the rule of a few routes out, so that a slip in the table shows.
func TestPolicy(t *testing.T) {
	want := map[string]string{
		"enable-provider": "operator", "revoke-cell": "operator", "revoke-lease": "operator", "set-quota": "operator",
		"create-tenant": "operator", "delete-tenant": "operator", "request-leases": "operator or tenant",
		"start-run": "operator or tenant", "free-lease": "operator or tenant", "list-cells": "operator or tenant or viewer",
		"audit-records": "operator or viewer", "get-blob": "operator or tenant or cell", "watch-cell": "cell",
		"register-cell": "cell", "report-cell": "cell", "peer-read-index": "scheduler", "peer-get-replica": "scheduler",
		"peer-audit": "scheduler", "peer-member": "scheduler", "peer-dismiss": "scheduler",
		"raft-members": "operator", "raft-transfer": "operator", "raft-remove": "operator", "debug": "operator",
		"save-snapshot": "operator", "restore-snapshot": "operator", "metrics": "operator or viewer",
		"read-lease": "operator or tenant", "write-lease": "operator or tenant", "relay-body": "cell", "relay-answer": "cell",
	}
	public := []string{"bootstrap-cell", "ca-pem", "console", "console-login", "health", "home", "livez", "readyz"}
	var open []string
	s := &server{}
	for _, r := range s.routes() {
		if rule, ok := want[r.id]; ok && r.access.String() != rule {
			t.Errorf("%s is open to %q, want %q", r.id, r.access, rule)
		}
		if r.access.public {
			open = append(open, r.id)
		}
		if strings.Contains(r.path, "/cells/{c}/") && strings.Contains(r.access.String(), "cell") && !r.access.own {
			t.Errorf("%s lets a cell name another", r.id)
		}
		writes := r.method != http.MethodGet && r.method != http.MethodHead
		local := strings.HasPrefix(r.path, "/peer/") || r.id == "report-cell" || r.id == "put-blob" ||
			r.id == "write-lease" || r.id == "relay-answer" || // any scheduler carries
			r.id == "restore-snapshot" // too large to be handed on: the service refuses where it does not lead
		if writes && !local && !r.leader {
			t.Errorf("%s writes and is not decided by the leader", r.id)
		}
	}
	slices.Sort(open)
	if !slices.Equal(open, public) {
		t.Errorf("open to anybody: %v, want %v", open, public)
	}
}

func TestIdentity(t *testing.T) {
	n := start(t, nil)
	tests := []struct {
		name   string
		role   api.Role
		path   string
		header http.Header
		want   api.Kind
	}{
		{"another cell", api.RoleCell, "/api/v1/cells/aws-2/watch?cell_epoch=1", nil, api.IdentityMismatch},
		{"session cookie reads", "", "/api/v1/cells", http.Header{"Cookie": {"grafos_session=good"}}, ""},
		{"session bearer reads", "", "/api/v1/cells", http.Header{"Authorization": {"Bearer good"}}, ""},
		{"bad session", "", "/api/v1/cells", http.Header{"Cookie": {"grafos_session=bad"}}, api.Unauthenticated},
		{"session is a viewer", "", "/api/v1/blobs/" + string(digest("")), http.Header{"Cookie": {"grafos_session=good"}}, api.Forbidden},
		{"huge credential", "", "/api/v1/cells", http.Header{"Authorization": {"Bearer " + strings.Repeat("x", 5000)}}, api.Unauthenticated},
		{"tenant forwards", api.RoleTenant, "/api/v1/cells", http.Header{"Grafos-Forwarded": {"s9"}}, api.Forbidden},
		{"forwarded nobody", api.RoleScheduler, "/api/v1/cells", http.Header{"Grafos-Forwarded": {"s9"}, "Grafos-Caller": {"e30="}}, api.Unauthenticated},
		{"forwarded garbage", api.RoleScheduler, "/api/v1/cells", http.Header{"Grafos-Forwarded": {"s9"}, "Grafos-Caller": {"%"}}, api.InvalidArgument},
		{"forwarded barred", api.RoleScheduler, "/api/v1/cells", http.Header{"Grafos-Forwarded": {"s9"}, "Grafos-Caller": {encoded(t, api.Caller{Role: api.RoleTenant, Name: "barred"})}}, api.IdentityRevoked},
		{"forwarded", api.RoleScheduler, "/api/v1/cells", http.Header{"Grafos-Forwarded": {"s9"}, "Grafos-Caller": {encoded(t, api.Caller{Role: api.RoleTenant, Name: "t9"})}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := ask(t, raw(t, tt.role), http.MethodGet, n.url+tt.path, nil, tt.header)
			if p.Kind != tt.want {
				t.Errorf("got %q (%s), want %q", p.Kind, p.Detail, tt.want)
			}
		})
	}
	if got := n.fake.last().Caller; got.Role != api.RoleTenant || got.Name != "t9" {
		t.Errorf("the forwarded caller arrived as %+v", got)
	}
}

func encoded(t *testing.T, c api.Caller) string {
	t.Helper()
	h, err := callerHeader(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends one request and reads its problem, checking what every answer must have.
func ask(t *testing.T, c *http.Client, method, url string, body []byte, header ...http.Header) (int, api.Error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		maps.Copy(req.Header, h)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for _, name := range []string{"Grafos-Index", "Grafos-Leader", "Grafos-Last-Contact", "Grafos-Request-Id", "X-Content-Type-Options"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("%s %s: no header %s", method, url, name)
		}
	}
	var p api.Error
	if resp.StatusCode < 400 {
		if strings.Contains(url, "/events") {
			return resp.StatusCode, p
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, p
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodHead {
		p.Kind = api.Kind(resp.Header.Get("Grafos-Kind"))
		return resp.StatusCode, p
	}
	if got := resp.Header.Get("Content-Type"); got != problemType && !strings.Contains(url, "/metrics") && !strings.Contains(url, "/readyz") {
		t.Errorf("%s %s: %d with Content-Type %q: %s", method, url, resp.StatusCode, got, b)
	}
	if err := json.Unmarshal(b, &p); err == nil && (p.Status != resp.StatusCode || p.RequestID != resp.Header.Get("Grafos-Request-Id") || p.Title == "" || p.Detail == "") {
		t.Errorf("%s %s: %d and problem %s", method, url, resp.StatusCode, b)
	}
	return resp.StatusCode, p
}
