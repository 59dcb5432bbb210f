package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

func quiet() hclog.Logger { return hclog.NewNullLogger() }

// TestBadInput sends what a program sends when it is wrong, and expects a sentence.
func TestBadInput(t *testing.T) {
	n := start(t, nil)
	c := raw(t, api.RoleOperator)
	big := `{"provider":"` + strings.Repeat("a", 70_000) + `"}`
	const lease = `{"provider":"aws","resources":{"mem":1024},"ttl_ms":60000`
	tests := []struct {
		name, method, path, body string
		kind                     api.Kind
		status                   int
		says                     string // part of the detail
		at                       string // location of an error
	}{
		{"not json", "POST", "/leases", `{"provider":`, api.InvalidArgument, 422, "not JSON at line 1, column 12", "body"},
		{"not json on line 3", "POST", "/leases", "{\n\"provider\":\n}", api.InvalidArgument, 422, "line 3", "body"},
		{"empty body", "POST", "/leases", ``, api.InvalidArgument, 422, "body is required", ""},
		{"null", "POST", "/leases", `null`, api.InvalidArgument, 422, "expected object", "body"},
		{"list", "POST", "/leases", `[]`, api.InvalidArgument, 422, "expected object", "body"},
		{"two documents", "POST", "/leases", lease + `}{}`, api.InvalidArgument, 422, "after top-level value", "body"},
		{"unknown field", "POST", "/leases", lease + `,"tll_ms":1}`, api.InvalidArgument, 422, "unexpected property", "body.tll_ms"},
		{"unknown nested field", "POST", "/leases", `{"provider":"aws","resources":{"ram":1},"ttl_ms":60000}`, api.InvalidArgument, 422, "unexpected property", "body.resources.ram"},
		{"field in another case", "POST", "/leases", lease + `,"Tenant":"x"}`, api.InvalidArgument, 422, "unexpected property", "body.Tenant"},
		{"missing field", "POST", "/leases", `{"provider":"aws","resources":{"mem":1}}`, api.InvalidArgument, 422, "ttl_ms", "body"},
		{"string for a number", "POST", "/leases", `{"provider":"aws","resources":{"mem":"1G"},"ttl_ms":60000}`, api.InvalidArgument, 422, "expected integer", "body.resources.mem"},
		{"property twice", "POST", "/leases", lease + `,"provider":"gcp"}`, api.InvalidArgument, 422, "more than once", "body.provider"},
		{"nested property twice", "POST", "/leases", `{"provider":"aws","resources":{"mem":1,"mem":2},"ttl_ms":60000}`, api.InvalidArgument, 422, "more than once", "body.resources.mem"},
		{"property twice in a list", "POST", "/leases:batch", `{"requests":[{"ttl_ms":1,"ttl_ms":2}]}`, api.InvalidArgument, 422, "more than once", "body.requests.ttl_ms"},
		{"property twice of a slow route", "POST", "/tenants", `{"tenant":"a","tenant":"b"}`, api.InvalidArgument, 422, "more than once", "body.tenant"},
		{"index twice", "GET", "/leases?index=1&index=2", ``, api.InvalidArgument, 422, "more than once", "query.index"},
		{"parameter twice of a stream", "GET", "/events?from=now&from=now", ``, api.InvalidArgument, 422, "more than once", "query.from"},
		{"parameter twice of a write", "POST", "/leases?dry_run=true&dry_run=false", lease + `}`, api.InvalidArgument, 422, "more than once", "query.dry_run"},
		{"query that cannot be read", "GET", "/leases?tenant=%zz", ``, api.InvalidArgument, 422, "cannot be read", ""},
		{"fraction", "POST", "/leases", `{"provider":"aws","resources":{"mem":1.5},"ttl_ms":60000}`, api.InvalidArgument, 422, "expected integer", "body.resources.mem"},
		{"overflow", "POST", "/leases", `{"provider":"aws","resources":{"mem":1e30},"ttl_ms":60000}`, api.InvalidArgument, 422, "resources.mem", "body"},
		{"overflow by one", "POST", "/leases", `{"provider":"aws","resources":{"mem":9223372036854775808},"ttl_ms":60000}`, api.InvalidArgument, 422, "resources.mem", "body"},
		{"too much", "POST", "/leases", `{"provider":"aws","resources":{"mem":9223372036854775807},"ttl_ms":60000}`, api.InvalidArgument, 422, "at most", ""},
		{"negative", "POST", "/leases", `{"provider":"aws","resources":{"mem":-1},"ttl_ms":60000}`, api.InvalidArgument, 422, "cannot be negative", ""},
		{"no time", "POST", "/leases", `{"provider":"aws","resources":{"mem":1},"ttl_ms":0}`, api.InvalidArgument, 422, "1 s to 24 h", ""},
		{"negative epoch", "POST", "/leases/x:renew", `{"ttl_ms":-5}`, api.InvalidArgument, 422, "1 s to 24 h", ""},
		{"oversized", "POST", "/leases", big, api.TooLarge, 422, "larger than 65536 bytes", ""},
		{"deep", "POST", "/leases", strings.Repeat("[", 30_000), api.InvalidArgument, 422, "not JSON", "body"},
		{"quota with a hole", "POST", "/tenants/acme:quota", `{"mem":1}`, api.InvalidArgument, 422, "cpu", "body"},
		{"quota below -1", "POST", "/tenants/acme:quota", `{"cpu":-2,"mem":1,"block":1,"net":1,"gpu":1,"leases":1}`, api.InvalidArgument, 422, "quota cpu", ""},
		{"tenant name", "POST", "/tenants", `{"tenant":"a b"}`, api.InvalidArgument, 422, "character", ""},
		{"empty batch", "POST", "/leases:batch", `{"requests":[]}`, api.InvalidArgument, 422, "from 1 to 256", ""},
		{"digest", "GET", "/blobs/sha256:zz", ``, api.InvalidArgument, 422, "64 hex digits", ""},
		{"query typo", "GET", "/leases?limt=5", ``, api.InvalidArgument, 422, "unknown query parameter", "query.limt"},
		{"query typo of a stream", "GET", "/events?form=now", ``, api.InvalidArgument, 422, "unknown query parameter", "query.form"},
		{"limit", "GET", "/leases?limit=99999", ``, api.InvalidArgument, 422, "1000", "query.limit"},
		{"limit word", "GET", "/leases?limit=many", ``, api.InvalidArgument, 422, "integer", "query.limit"},
		{"index overflow", "GET", "/leases?index=99999999999999999999", ``, api.InvalidArgument, 422, "integer", "query.index"},
		{"state", "GET", "/leases?state=alive", ``, api.InvalidArgument, 422, "active", "query.state"},
		{"wait", "GET", "/leases?wait=1h", ``, api.InvalidArgument, 422, "from 0s to 5m", ""},
		{"wait word", "GET", "/leases?wait=long", ``, api.InvalidArgument, 422, "like 30s", ""},
		{"max stale", "GET", "/leases?max_stale=6m", ``, api.InvalidArgument, 422, "max_stale", ""},
		{"max stale word", "GET", "/leases?max_stale=old", ``, api.InvalidArgument, 422, "max_stale", ""},
		{"max stale of a linearizable read", "GET", "/leases?max_stale=5s&consistency=linearizable", ``, api.InvalidArgument, 422, "stale reads", ""},
		{"bookmarks", "GET", "/events?bookmarks=some", ``, api.InvalidArgument, 422, "neither true nor false", ""},
		{"consistency", "GET", "/cells?consistency=strong", ``, api.InvalidArgument, 422, "linearizable", "query.consistency"},
		{"cursor", "GET", "/events?from=yesterday", ``, api.InvalidArgument, 422, "index.sub", ""},
		{"unknown path", "GET", "/nothing", ``, api.NotFound, 404, "/api/v1/nothing", ""},
		{"trailing slash", "GET", "/leases/", ``, api.NotFound, 404, "/leases/", ""},
		{"double slash", "GET", "//leases", ``, api.NotFound, 404, "plain path", ""},
		{"dots", "GET", "/x/../leases", ``, api.NotFound, 404, "plain path", ""},
		{"unknown verb", "POST", "/leases/x:eat", ``, api.NotFound, 404, ":eat", ""},
		{"wrong method", "DELETE", "/leases", ``, api.InvalidArgument, 405, "it takes GET, POST", ""},
		{"wrong method of a verb", "GET", "/leases/x:renew", ``, api.InvalidArgument, 405, "it takes POST", ""},
		{"odd method", "BREW", "/leases", ``, api.InvalidArgument, 405, "BREW", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, p := ask(t, c, tt.method, n.url+"/api/v1"+tt.path, []byte(tt.body))
			if status != tt.status || p.Kind != tt.kind {
				t.Fatalf("got %d %s (%s), want %d %s", status, p.Kind, p.Detail, tt.status, tt.kind)
			}
			if !strings.Contains(p.Detail, tt.says) {
				t.Errorf("detail %q does not say %q", p.Detail, tt.says)
			}
			if tt.at != "" && !slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return e.Location == tt.at }) {
				t.Errorf("errors %v name no %s", p.Errors, tt.at)
			}
		})
	}
	if len(n.fake.calls) != 0 {
		t.Errorf("a service was asked: %v", n.fake.calls)
	}
}

func TestBadHeaders(t *testing.T) {
	n := start(t, nil)
	c := raw(t, api.RoleTenant)
	body := []byte(`{"provider":"aws","resources":{"mem":1024},"ttl_ms":60000}`)
	for _, tt := range []struct {
		name   string
		header http.Header
		kind   api.Kind
	}{
		{"long key", http.Header{"Idempotency-Key": {strings.Repeat("k", 129)}}, api.InvalidArgument},
		{"key with a space", http.Header{"Idempotency-Key": {"a b"}}, api.InvalidArgument},
		{"empty key", http.Header{"Idempotency-Key": {""}}, api.InvalidArgument},
		{"two keys", http.Header{"Idempotency-Key": {"a", "b"}}, api.InvalidArgument},
		{"other content type", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, api.InvalidArgument},
		{"odd content type", http.Header{"Content-Type": {";+"}}, api.InvalidArgument},
		{"odd accept", http.Header{"Accept": {"text/plain"}}, ""},
		{"no key", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, p := ask(t, c, http.MethodPost, n.url+"/api/v1/leases", body, tt.header); p.Kind != tt.kind {
				t.Errorf("got %q (%s), want %q", p.Kind, p.Detail, tt.kind)
			}
		})
	}
	o, ok := n.fake.last().Args[1].(api.WriteOptions)
	if !ok || len(o.IdempotencyKey) < 20 {
		t.Errorf("a write without a key reached the service with %+v", o)
	}
}

// TestUnauthenticatedPaths: whoever proves nothing learns nothing of the paths.
func TestUnauthenticatedPaths(t *testing.T) {
	n := start(t, nil)
	c := raw(t, "")
	for _, path := range []string{"/api/v1/leases", "/api/v1/nothing", "/peer/v1/nothing", "/api/v1/leases/x:eat", "/metrics"} {
		if status, p := ask(t, c, http.MethodGet, n.url+path, nil); status != 401 || p.Kind != api.Unauthenticated || p.Hint == "" {
			t.Errorf("%s: %d %+v", path, status, p)
		}
	}
	if status, p := ask(t, c, http.MethodGet, n.url+"/favicon.ico", nil); status != 404 || p.Kind != api.NotFound {
		t.Errorf("/favicon.ico: %d %+v", status, p)
	}
}

func TestBlobBounds(t *testing.T) {
	n := start(t, nil)
	c := raw(t, api.RoleCell)
	url := n.url + "/api/v1/blobs/" + string(digest("x"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = api.MaxModuleBytes + 1
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnprocessableEntity || resp.Header.Get("Grafos-Kind") != string(api.TooLarge) {
		t.Errorf("too large: %s %s", resp.Status, resp.Header.Get("Grafos-Kind"))
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodPut, url, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err = c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnprocessableEntity || resp.Header.Get("Grafos-Kind") != string(api.InvalidArgument) {
		t.Errorf("no length: %s %s", resp.Status, resp.Header.Get("Grafos-Kind"))
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestReportBounds(t *testing.T) {
	n := start(t, nil)
	c := dial(t, api.RoleCell, n)
	r := api.Report{Ended: make([]api.EndedReport, api.MaxReportItems+1)}
	if _, err := c.Report(t.Context(), "aws", "aws-1", r); api.KindOf(err) != api.TooLarge {
		t.Errorf("a report of %d items: %v", len(r.Ended), err)
	}
	for coordinate, want := range map[string]api.Kind{"javascript:alert(1)": api.InvalidArgument, "http://10.0.0.1/": api.InvalidArgument, "https://10.0.0.1:7500/v1/leases/l": "", "": ""} {
		r = api.Report{Bound: []api.BoundReport{{LeaseID: "l", Coordinate: coordinate}}}
		if _, err := c.Report(t.Context(), "aws", "aws-1", r); api.KindOf(err) != want {
			t.Errorf("a lease that is at %q: %v", coordinate, err)
		}
	}
}

// TestProblemsKeepTheirEvidence: what a service refuses arrives whole.
func TestProblemsKeepTheirEvidence(t *testing.T) {
	n := start(t, nil)
	want := filled[api.Error]()
	want.Status, want.Kind = 409, api.QuotaExceeded
	n.fake.err = fmt.Errorf("grant leases: %w", &want)
	_, err := dial(t, api.RoleTenant, n).ShowLease(t.Context(), "x", api.ReadOptions{})
	got, ok := api.AsError(err)
	if !ok {
		t.Fatal(err)
	}
	got.RequestID = want.RequestID
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
	n.fake.err = fmt.Errorf("disk on fire")
	if _, err := dial(t, api.RoleTenant, n).ShowLease(t.Context(), "x", api.ReadOptions{}); api.KindOf(err) != api.Internal {
		t.Errorf("an error without a kind: %v", err)
	}
}
