package cellagent

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/capbroker/holder"
)

// anyBroker takes every token for one that allows everything.
type anyBroker struct{ Broker }

func (anyBroker) Verify(string) (Claims, error) { return anyClaims{}, nil }

type anyClaims struct{}

func (anyClaims) Standing(api.Lease) error             { return nil }
func (anyClaims) Named() bool                          { return true }
func (anyClaims) Bound(holder.Thumbprint) bool         { return false }
func (anyClaims) Confirm(capbroker.Use) error          { return nil }
func (anyClaims) Allow(api.Lease, capbroker.Use) error { return nil }

// FuzzDataPlane asks for any range, past the token, and expects bytes within the binding or a
// typed refusal.
func FuzzDataPlane(f *testing.F) {
	f.Add("GET", "offset=0&length=10", []byte(nil))
	f.Add("PUT", "offset=4090", []byte("0123456789"))
	f.Add("GET", "offset=9223372036854775807&length=9223372036854775807", []byte(nil))
	f.Add("GET", "offset=-1&length=%zz", []byte(nil))
	f.Fuzz(func(t *testing.T, method, query string, body []byte) {
		if method != http.MethodGet && method != http.MethodPut {
			return
		}
		bound := &fakeBinding{data: make([]byte, 4096)}
		clock := newFakeClock()
		p := newDataPlane(&keeper{broker: anyBroker{}, clock: clock, log: hclog.NewNullLogger()})
		p.find = func(id api.LeaseID) (api.Lease, Opened, int64, error) {
			return api.Lease{ID: id, Kind: api.KindMem, Use: api.UseRegion, State: api.LeaseActive}, strict{t, bound}, clock.Now() + int64(time.Minute), nil
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), method, "/v1/leases/l", bytes.NewReader(body))
		r.URL = &url.URL{Path: "/v1/leases/l", RawQuery: query}
		r.Header.Set("Authorization", "Bearer x")
		p.handler().ServeHTTP(w, r)
		if w.Code >= 300 {
			kindOf(t, w)
		} else if w.Body.Len() > len(bound.data) {
			t.Fatalf("%d bytes of %d", w.Body.Len(), len(bound.data))
		}
	})
}

// strict is a binding that is never asked for what is outside of it.
type strict struct {
	t *testing.T
	*fakeBinding
}

func (s strict) ReadAt(p []byte, off int64) (int, error) {
	s.check(off, len(p))
	return s.fakeBinding.ReadAt(p, off)
}

func (s strict) WriteAt(p []byte, off int64) (int, error) {
	s.check(off, len(p))
	return s.fakeBinding.WriteAt(p, off)
}

func (s strict) check(off int64, n int) {
	if off < 0 || off+int64(n) > s.Size() {
		s.t.Fatalf("%d bytes at %d of %d", n, off, s.Size())
	}
}

// FuzzInvocation reads any bytes: what is taken says the same again.
func FuzzInvocation(f *testing.F) {
	f.Add([]byte(`{"args":["-x"],"env":["A=1"]}`))
	f.Add([]byte(`{"args":null}{}`))
	f.Add([]byte(`{"secret":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := readInvocation(raw)
		if err != nil {
			if api.KindOf(err) != api.InvalidArgument {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		again, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readInvocation(again); err != nil {
			t.Fatalf("%s does not read back: %v", again, err)
		}
	})
}

// FuzzLinkSpeed reads what a driver may say.
func FuzzLinkSpeed(f *testing.F) {
	f.Add("1000Mb/s")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, s string) {
		if n := linkSpeed(s); n < 0 || n > api.MaxAmount {
			t.Fatalf("%q is %d bits/s", s, n)
		}
	})
}
