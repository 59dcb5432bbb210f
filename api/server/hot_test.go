package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/quick"
)

// twoWays asks one scheduler the same thing by the short way and by that of all routes.
type twoWays struct {
	handler http.Handler
	fake    *fake
	states  map[api.Role]*tls.ConnectionState
}

func bothWays(t *testing.T) *twoWays {
	t.Helper()
	f := &fake{}
	h, err := New(Config{
		Services: f, Agent: f, Peers: f, Leader: &fakeLeader{self: true}, Auth: fakeAuth{}, Info: f.info, Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &twoWays{handler: h, fake: f, states: map[api.Role]*tls.ConnectionState{}}
	for _, role := range []api.Role{api.RoleTenant, api.RoleCell, api.RoleScheduler, api.RoleViewer, api.RoleOperator} {
		leaf, err := x509.ParseCertificate(certificate(t, who(role)).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		w.states[role] = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	}
	return w
}

// ask returns the answer, without what differs from one request to the next, and what the
// service was asked.
func (w *twoWays) ask(t *testing.T, role api.Role, path string, body []byte, accept string) (*httptest.ResponseRecorder, []seen) {
	t.Helper()
	w.fake.calls = nil
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	r.Header.Set(headKey, "key-1")
	r.TLS = w.states[role]
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	id := out.Header().Get(headRequestID)
	out.Header().Del(headRequestID)
	out.Body = bytes.NewBuffer(bytes.ReplaceAll(out.Body.Bytes(), []byte(id), []byte("ID")))
	return out, w.fake.calls
}

// alike holds the two ways against each other.
func (w *twoWays) alike(t *testing.T, role api.Role, path string, body []byte) int {
	t.Helper()
	short, a := w.ask(t, role, path, body, "application/json")
	long, b := w.ask(t, role, path, body, "application/json, */*")
	for what, diff := range map[string]string{
		"header": cmp.Diff(long.Header(), short.Header()),
		"body":   cmp.Diff(long.Body.String(), short.Body.String()),
		"call":   cmp.Diff(b, a),
	} {
		if diff != "" || long.Code != short.Code {
			t.Fatalf("%s %s: %d or %d, %s (- long, + short):\n%s", path, body, long.Code, short.Code, what, diff)
		}
	}
	return short.Code
}

// hotRoutes are the routes with a short way, with a document that takes it.
func hotRoutes(t *testing.T) map[string]struct {
	role api.Role
	body []byte
	into any
} {
	t.Helper()
	encode := func(v any) []byte {
		b, ok := quick.Append(nil, v)
		if !ok {
			t.Fatalf("%T has no short way", v)
		}
		return b
	}
	report := api.Report{
		Epoch: 1, Heartbeat: &api.Heartbeat{Seq: 1, Stamp: api.Stamp{BootID: "b", BootTime: 1}},
		Bound: []api.BoundReport{{LeaseID: "l-1", Generation: 1, Epoch: 2, Token: "t"}},
		Ended: []api.EndedReport{{LeaseID: "l-2", Epoch: 2, State: api.LeaseTornDown}},
	}
	type hot = struct {
		role api.Role
		body []byte
		into any
	}
	cell := who(api.RoleCell).Cell
	return map[string]hot{
		"/api/v1/leases":                                        {api.RoleTenant, encode(aLease()), &api.LeaseRequest{}},
		"/api/v1/leases:batch":                                  {api.RoleTenant, encode(api.BatchRequest{Requests: []api.BatchItem{{LeaseRequest: aLease(), IdempotencyKey: "k"}}}), &api.BatchRequest{}},
		"/api/v1/cells/" + string(cell) + "/reports":            {api.RoleCell, encode(report), &api.Report{}},
		"/peer/v1/reports?provider=aws&cell_id=" + string(cell): {api.RoleScheduler, encode(report), &api.Report{}},
	}
}

// TestHotIsAlike: what goes the short way is asked of the service, answered and refused as
// anything else.
func TestHotIsAlike(t *testing.T) {
	w := bothWays(t)
	for path, hot := range hotRoutes(t) {
		if !quick.Read(hot.body, hot.into) {
			t.Errorf("%s: %s does not take the short way", path, hot.body)
		}
		if code := w.alike(t, hot.role, path, hot.body); code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
		for _, err := range refusals() {
			w.fake.err = err
			w.alike(t, hot.role, path, hot.body)
		}
		w.fake.err = nil
	}
}

// TestHotRefusesAlike: a document with something wrong in it is refused alike, and one that is
// read the short way is one that the schema takes.
func TestHotRefusesAlike(t *testing.T) {
	w := bothWays(t)
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{
		`null`, `-1`, `0`, `1.5`, `"x"`, `""`, `[]`, `{}`, `true`, `"resources"`, `"ttl_ms"`, `"more"`, `999999999999999999`, `9223372036854775807`,
	}
	for path, hot := range hotRoutes(t) {
		short, taken := 0, 0
		for range 1500 {
			var doc any
			if err := json.Unmarshal(hot.body, &doc); err != nil {
				t.Fatal(err)
			}
			spoil(r, doc, parts)
			body, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if quick.Read(body, hot.into) {
				short++
			}
			if w.alike(t, hot.role, path, body) == http.StatusOK {
				taken++
			}
		}
		if short == 0 || taken == 1500 {
			t.Errorf("%s: %d of 1500 went the short way, %d were taken", path, short, taken)
		}
	}
}

// spoil changes something somewhere in a document.
func spoil(r *rand.Rand, v any, parts []string) {
	var with any
	_ = json.Unmarshal([]byte(parts[r.IntN(len(parts))]), &with) // each of them is JSON
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			switch r.IntN(6) {
			case 0:
				v[name] = with
			case 1:
				delete(v, name)
			case 2:
				v["more"] = with
			default:
				spoil(r, inner, parts)
			}
			if r.IntN(2) == 0 {
				return
			}
		}
	case []any:
		for _, inner := range v {
			spoil(r, inner, parts)
		}
	}
}
