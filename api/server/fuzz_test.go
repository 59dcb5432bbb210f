package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// knocker sends requests to a handler as whoever may, without a network between.
type knocker struct {
	server *server
	fake   *fake
	routes []route // of the interface, without pages and probes
	states map[api.Role]*tls.ConnectionState
}

func newKnocker(tb testing.TB) *knocker {
	tb.Helper()
	f := &fake{}
	s, err := newServer(Config{
		Services: f, Agent: f, Peers: f, Leader: &fakeLeader{self: true}, Auth: fakeAuth{}, Info: f.info, Log: quiet(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	k := &knocker{server: s, fake: f, states: map[api.Role]*tls.ConnectionState{}}
	for _, r := range s.routes() {
		if strings.HasPrefix(r.path, "/api/") || strings.HasPrefix(r.path, "/peer/") {
			k.routes = append(k.routes, r)
		}
	}
	for _, role := range []api.Role{api.RoleOperator, api.RoleTenant, api.RoleViewer, api.RoleCell, api.RoleScheduler} {
		leaf, err := x509.ParseCertificate(certificate(tb, who(role)).Certificate[0])
		if err != nil {
			tb.Fatal(err)
		}
		k.states[role] = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	}
	return k
}

// route finds one by its id; what is no id stands for any of them.
func (k *knocker) route(id string) route {
	for _, r := range k.routes {
		if r.id == id {
			return r
		}
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id)) // it never fails
	return k.routes[int(sum.Sum32()%uint32(len(k.routes)))]
}

// request makes one to a route, whose names in the path are filled in.
func (k *knocker) request(ctx context.Context, rt route, body string) *http.Request {
	path := strings.NewReplacer("{c}", "aws-1", "{digest}", string(digest("x")), "{p}", "aws", "{id}", "x", "{t}", "acme", "{name}", "x").Replace(rt.path)
	if rt.stream { // which nobody reads
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		ctx = cancelled
	}
	r := httptest.NewRequestWithContext(ctx, rt.method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if !rt.access.public {
		r.TLS = k.states[rt.access.roles[0]]
	}
	return r
}

// knock sends one and demands what every answer must be: a success, or a problem of a known
// kind that is not grafOS's own fault.
func (k *knocker) knock(t *testing.T, rt route, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	k.server.ServeHTTP(w, r)
	k.fake.mu.Lock()
	calls := len(k.fake.calls)
	k.fake.calls = nil
	k.fake.mu.Unlock()
	if calls > 1 {
		t.Fatalf("%s %s: the services were asked %d times", rt.method, rt.path, calls)
	}
	if w.Code < 300 || rt.method == http.MethodHead {
		return w
	}
	var p api.Error
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%s %s: %d without a problem: %q", rt.method, rt.path, w.Code, w.Body)
	}
	if p.Status != w.Code || p.Detail == "" || p.Kind == api.Internal || !slices.Contains(api.Kinds(), p.Kind) || calls > 0 {
		t.Fatalf("%s %s: %d after %d calls: %+v", rt.method, rt.path, w.Code, calls, p)
	}
	for _, h := range []string{headIndex, headLeader, headLastContact, headKind} {
		if w.Header().Get(h) == "" {
			t.Fatalf("%s %s: the answer has no %s", rt.method, rt.path, h)
		}
	}
	return w
}

// FuzzRequestBody sends any body to any route, those between schedulers and of cells too.
func FuzzRequestBody(f *testing.F) {
	k := newKnocker(f)
	f.Add("request-leases", `{"provider":"aws","resources":{"cpu":1,"mem":1024},"ttl_ms":60000,"priority":"standard","tenant":"acme"}`)
	f.Fuzz(func(t *testing.T, id, body string) {
		rt := k.route(id)
		k.knock(t, rt, k.request(t.Context(), rt, body))
	})
}

// FuzzQuery sends any query to any route: cursors, indexes, waits, filters.
func FuzzQuery(f *testing.F) {
	k := newKnocker(f)
	f.Add("list-leases", "consistency=stale&max_stale=5s")
	f.Fuzz(func(t *testing.T, id, query string) {
		rt := k.route(id)
		r := k.request(t.Context(), rt, "{}")
		r.URL.RawQuery = query
		k.knock(t, rt, r)
	})
}

// FuzzHeaders sends any idempotency key, any place to go on and, as a scheduler that
// forwards, any caller.
func FuzzHeaders(f *testing.F) {
	k := newKnocker(f)
	caller, err := callerHeader(api.Caller{Role: api.RoleTenant, Name: "acme"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("k", "1.0", caller)
	lease, events, list := k.route("request-leases"), k.route("events"), k.route("list-leases")
	f.Fuzz(func(t *testing.T, key, at, forwarded string) {
		r := k.request(t.Context(), lease, `{"provider":"aws","resources":{"mem":1024},"ttl_ms":60000}`)
		r.Header.Set(headKey, key)
		k.knock(t, lease, r)

		r = k.request(t.Context(), events, "")
		r.Header.Set("Last-Event-ID", at)
		if w := k.knock(t, events, r); (api.CheckFrom(at) == nil) != (w.Code == http.StatusOK) {
			t.Errorf("Last-Event-ID %q: %d", at, w.Code)
		}

		r = k.request(t.Context(), list, "")
		r.TLS = k.states[api.RoleScheduler]
		r.Header.Set(headForwarded, "s9")
		r.Header.Set(headCaller, forwarded)
		k.knock(t, list, r)
	})
}
