package server

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
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

// roles are all, and "" for nobody.
func roles() []api.Role {
	return []api.Role{"", api.RoleOperator, api.RoleTenant, api.RoleViewer, api.RoleCell, api.RoleScheduler}
}

// TestRolesByRoutes asks every route as every role: whoever is not in the route's rule gets
// 401 or 403, whoever is gets anything else.
func TestRolesByRoutes(t *testing.T) {
	n := start(t, func(c *Config) { c.Metrics = http.NotFoundHandler() })
	s, err := newServer(Config{Services: n.fake, Agent: n.fake, Peers: n.fake, Leader: n.leader, Auth: fakeAuth{}, Info: n.fake.info, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles() {
		c := raw(t, role)
		for _, rt := range s.routes() {
			t.Run(string(role)+" "+rt.method+" "+rt.path, func(t *testing.T) {
				status, p := ask(t, c, rt.method, n.url+fillPath(rt.path), nil)
				switch {
				case rt.access.public || slices.Contains(rt.access.roles, role):
					if status == http.StatusUnauthorized || p.Kind == api.Forbidden || p.Kind == api.IdentityMismatch {
						if rt.id == "register-cell" && p.Kind == api.IdentityMismatch {
							return // the empty body names another cell
						}
						t.Errorf("refused: %d %+v", status, p)
					}
				case role == "":
					if status != http.StatusUnauthorized || rt.method != http.MethodHead && p.Kind != api.Unauthenticated {
						t.Errorf("nobody got %d %q, want 401", status, p.Kind)
					}
				default:
					if status != http.StatusForbidden || rt.method != http.MethodHead && p.Kind != api.Forbidden {
						t.Errorf("got %d %q, want 403 forbidden", status, p.Kind)
					}
				}
			})
		}
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
