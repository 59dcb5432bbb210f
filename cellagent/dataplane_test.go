package cellagent

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
)

// call makes one request on the data plane.
func (b *bench) call(method, target, token string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, bytes.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	b.agent.server.Handler.ServeHTTP(w, r)
	return w
}

// kindOf returns the kind of a problem document, "" of a success.
func kindOf(t *testing.T, r *httptest.ResponseRecorder) api.Kind {
	t.Helper()
	if r.Code < 300 {
		return ""
	}
	if ct := r.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("status %d comes as %q", r.Code, ct)
	}
	var p api.Error
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != r.Code {
		t.Fatalf("problem says %d, the answer %d", p.Status, r.Code)
	}
	return p.Kind
}

func TestDataPlaneReadsWhatWasWritten(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		b.grant("d", time.Minute, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 2<<20 })
		synctest.Wait()
		for _, id := range []api.LeaseID{"m", "d"} {
			token, path := b.cluster.token(id), "/v1/leases/"+string(id)
			if r := b.call("PUT", path+"?offset=100", token, []byte("hello")); r.Code != http.StatusNoContent {
				t.Fatalf("%s: write answers %d (%s)", id, r.Code, kindOf(t, r))
			}
			r := b.call("GET", path+"?offset=98&length=9", token, nil)
			got, err := io.ReadAll(r.Body)
			if err != nil || string(got) != "\x00\x00hello\x00\x00" {
				t.Fatalf("%s: read answers %q, %v", id, got, err)
			}
		}
		r := b.call("GET", "/v1/leases/m", b.cluster.token("m"), nil)
		if got, err := io.ReadAll(r.Body); err != nil || len(got) != 4096 {
			t.Fatalf("a read of everything answers %d bytes, %v", len(got), err)
		}
	})
}

func TestDataPlaneBounds(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		b.grant("big", time.Minute, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 1<<20 })
		b.grant("c", time.Minute, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindCPU, "", 500 })
		synctest.Wait()
		tests := []struct {
			name, method, target string
			body                 []byte
			want                 api.Kind
		}{
			{"last byte", "GET", "/v1/leases/m?offset=4095&length=1", nil, ""},
			{"nothing at the end", "GET", "/v1/leases/m?offset=4096", nil, ""},
			{"one too far", "GET", "/v1/leases/m?offset=4095&length=2", nil, api.InvalidArgument},
			{"offset beyond", "GET", "/v1/leases/m?offset=4097", nil, api.InvalidArgument},
			{"overflow", "GET", "/v1/leases/m?offset=9223372036854775807&length=1048576", nil, api.InvalidArgument},
			{"negative", "GET", "/v1/leases/m?offset=-1", nil, api.InvalidArgument},
			{"no number", "GET", "/v1/leases/m?offset=x", nil, api.InvalidArgument},
			{"offset twice", "GET", "/v1/leases/m?offset=0&offset=5&length=1", nil, api.InvalidArgument},
			{"length twice the same", "GET", "/v1/leases/m?length=1&length=1", nil, api.InvalidArgument},
			{"sync twice", "PUT", "/v1/leases/m?sync=0&sync=1", []byte("ab"), api.InvalidArgument},
			{"unknown", "GET", "/v1/leases/m?length=1&bogus=1", nil, api.InvalidArgument},
			{"unknown of a write", "PUT", "/v1/leases/m?ofset=1", []byte("ab"), api.InvalidArgument},
			{"no query", "GET", "/v1/leases/m?length=1&offset=%zz", nil, api.InvalidArgument},
			{"what a coordinate says", "GET", "/v1/leases/m?gpu=0,1&class=shared&share=250&cpu=cgroup&length=1", nil, ""},
			{"read much", "GET", "/v1/leases/big?offset=1&length=1048575", nil, ""},
			{"read too much", "GET", "/v1/leases/big?offset=1&length=1048576", nil, api.InvalidArgument},
			{"read a huge length", "GET", "/v1/leases/big?length=9223372036854775807", nil, api.InvalidArgument},
			{"write beyond", "PUT", "/v1/leases/m?offset=4095", []byte("ab"), api.InvalidArgument},
			{"write much", "PUT", "/v1/leases/big?offset=1", make([]byte, 1<<20-1), ""},
			{"write too much", "PUT", "/v1/leases/big?offset=1", make([]byte, 1<<20), api.InvalidArgument},
			{"a length that is not the body's", "PUT", "/v1/leases/m?length=3", []byte("ab"), api.InvalidArgument},
			{"write nothing", "PUT", "/v1/leases/m", nil, ""},
			{"a cpu has no bytes", "GET", "/v1/leases/c", nil, api.CaveatFailed},
			{"no such path", "GET", "/v1/lease", nil, api.NotFound},
			{"no such method", "DELETE", "/v1/leases/m", nil, api.NotFound},
		}
		for _, tt := range tests {
			id := strings.TrimPrefix(tt.target, "/v1/leases/")
			id, _, _ = strings.Cut(id, "?")
			if got := kindOf(t, b.call(tt.method, tt.target, b.cluster.token(api.LeaseID(id)), tt.body)); got != tt.want {
				t.Errorf("%s: answered %q, want %q", tt.name, got, tt.want)
			}
		}
	})
}

func TestTokenMatrix(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		l := b.grant("m", 10*time.Minute, func(l *api.Lease) { l.Generation = 2 })
		b.grant("other", 10*time.Minute)
		b.grant("short", 2*time.Second)
		b.grant("freed", 10*time.Minute)
		synctest.Wait()
		now := anchoredWall(b.clock, time.Now())
		elsewhere := func(cluster string, cell api.CellID) string {
			broker, err := capbroker.New(capbroker.Config{ClusterID: cluster, Cell: cell, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			lease := l
			lease.CellID = cell
			token, err := broker.Mint(lease, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		mint := func(change func(*api.Lease)) string {
			lease := l
			change(&lease)
			token, err := b.agent.keeper.broker.Mint(lease, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		good := b.cluster.token("m")
		freed := b.cluster.lease("freed")
		freedToken := b.cluster.token("freed")
		freed.State, freed.Reason = api.LeaseForcedTeardown, "revoked"
		b.cluster.put(freed)
		shortToken := b.cluster.token("short")
		pass(1500 * time.Millisecond)
		tests := []struct {
			name, id, token string
			want            api.Kind
		}{
			{"good", "m", good, ""},
			{"none", "m", "", api.Unauthenticated},
			{"garbage", "m", "v4.public.AAAA", api.BadSignature},
			{"forged", "m", elsewhere("g-test", "local-1"), api.BadSignature},
			{"one byte changed", "m", flip(good), api.BadSignature},
			{"other cell", "m", elsewhere("g-test", "local-2"), api.WrongAudience},
			{"other cluster", "m", elsewhere("g-else", "local-1"), api.BadSignature},
			{"other lease", "m", b.cluster.token("other"), api.CaveatFailed},
			{"stale generation", "m", mint(func(l *api.Lease) { l.Generation = 1 }), api.StaleGeneration},
			{"stale epoch", "m", mint(func(l *api.Lease) { l.Epoch = 1 }), api.StaleEpoch},
			{"revoked lease", "freed", freedToken, api.LeaseRevoked},
			{"unknown lease", "nobody", good, api.NotFound},
		}
		for _, method := range []string{"GET", "PUT"} {
			for _, tt := range tests {
				if got := kindOf(t, b.call(method, "/v1/leases/"+tt.id, tt.token, nil)); got != tt.want {
					t.Errorf("%s %s: answered %q, want %q", method, tt.name, got, tt.want)
				}
			}
		}
		if body := b.call("GET", "/v1/leases/freed", freedToken, nil).Body.String(); !strings.Contains(body, "grafos lease request") {
			t.Errorf("use of an ended lease is answered %s", body)
		}
		pass(time.Second)
		for _, method := range []string{"GET", "PUT"} {
			got := kindOf(t, b.call(method, "/v1/leases/short", shortToken, nil))
			if got != api.TokenExpired && got != api.LeaseExpiredKind {
				t.Errorf("%s on an expired lease is answered %q", method, got)
			}
		}
		pass(api.MaxTokenLife)
		if got := kindOf(t, b.call("GET", "/v1/leases/m", good, nil)); got != api.TokenExpired {
			t.Errorf("a token older than 300 s is answered %q", got)
		}
	})
}

// TestStoppedAgentServesNobodyLate is the agent that was stopped beyond a deadline: the first
// request may come before the timer does.
func TestStoppedAgentServesNobodyLate(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		synctest.Wait()
		k := b.agent.keeper
		k.mu.Lock()
		h := k.held["m"]
		h.deadline = b.clock.Now() // the timer does not know yet
		k.mu.Unlock()
		if got := kindOf(t, b.call("GET", "/v1/leases/m", b.cluster.token("m"), nil)); got != api.LeaseExpiredKind {
			t.Errorf("answered %q, want lease_expired", got)
		}
	})
}

func TestSlowWriterDoesNotOutliveItsLease(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", 2*time.Second)
		synctest.Wait()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/leases/m", &slowBody{wait: 3 * time.Second})
		r.Header.Set("Authorization", "Bearer "+b.cluster.token("m"))
		w := httptest.NewRecorder()
		b.agent.server.Handler.ServeHTTP(w, r)
		if got := kindOf(t, w); got != api.TokenExpired && got != api.LeaseExpiredKind {
			t.Errorf("answered %q", got)
		}
	})
}

type slowBody struct {
	wait time.Duration
	done bool
}

func (s *slowBody) Read(p []byte) (int, error) {
	if s.done {
		return 0, io.EOF
	}
	s.done = true
	time.Sleep(s.wait)
	return copy(p, "late"), nil
}

// A cell whose bindings are all being touched says so; a client that has more under way than is
// its share is told at once, and takes nothing from others.
func TestDataPlaneOverload(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		synctest.Wait()
		p := newDataPlane(b.agent.keeper)
		p.room = make(chan struct{})
		get := func(addr string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/leases/m", nil)
			r.RemoteAddr = addr
			r.Header.Set("Authorization", "Bearer "+b.cluster.token("m"))
			w := httptest.NewRecorder()
			p.handler().ServeHTTP(w, r)
			return w
		}
		if w := get("192.0.2.1:1"); kindOf(t, w) != api.Overloaded || w.Header().Get("Retry-After") != "1" {
			t.Errorf("answered %d, retry after %q", w.Code, w.Header().Get("Retry-After"))
		}
		p.room = make(chan struct{}, 1)
		for range operationsPerPeer {
			if err := p.guests.enter("address 192.0.2.1"); err != nil {
				t.Fatal(err)
			}
		}
		if w := get("192.0.2.1:2"); kindOf(t, w) != api.Overloaded {
			t.Errorf("beyond its share: answered %d", w.Code)
		}
		if w := get("192.0.2.2:1"); kindOf(t, w) != "" {
			t.Errorf("another client: answered %d", w.Code)
		}
		p.guests.leave("address 192.0.2.1")
		if w := get("192.0.2.1:3"); kindOf(t, w) != "" {
			t.Errorf("within its share again: answered %d", w.Code)
		}
	})
}

// flip changes one character in the middle of a token.
func flip(s string) string {
	b := []byte(s)
	i := len(b) / 2
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestRenewalDuringAWriteVoidsItsToken(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		synctest.Wait()
		token := b.cluster.token("m")
		time.AfterFunc(time.Second, func() {
			l := b.cluster.lease("m")
			l.Generation, l.Stamp = 2, stampOf(b.clock)
			b.cluster.put(l)
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/leases/m", &slowBody{wait: 3 * time.Second})
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		b.agent.server.Handler.ServeHTTP(w, r)
		if got := kindOf(t, w); got != api.StaleGeneration {
			t.Errorf("answered %q, want stale_generation", got)
		}
	})
}
