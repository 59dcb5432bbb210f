package cellagent

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/capbroker/holder"
)

// willing is a broker whose tokens allow everything.
type willing struct{ Broker }

func (willing) Verify(string) (Claims, error) { return willingClaims{}, nil }
func (willing) Challenge() string             { return "nonce" }

type willingClaims struct{}

func (willingClaims) Standing(api.Lease) error             { return nil }
func (willingClaims) Named() bool                          { return true }
func (willingClaims) Bound(holder.Thumbprint) bool         { return false }
func (willingClaims) Confirm(capbroker.Use) error          { return nil }
func (willingClaims) Allow(api.Lease, capbroker.Use) error { return nil }

// TestSlowWriteOutlastsTheServersBound: a write may be as long as its lease, and so may one that is
// refused at its end: the bound of the server is not on the whole of it.
func TestSlowWriteOutlastsTheServersBound(t *testing.T) {
	t.Parallel()
	const bound = 300 * time.Millisecond
	clock := newFakeClock()
	host := &fakeHost{open: map[api.LeaseID]*fakeBinding{}, closed: map[api.LeaseID]int64{}, clock: clock}
	l := api.Lease{ID: "d", Kind: api.KindBlock, Amount: 1 << 20, State: api.LeaseActive}
	open, err := host.Bind(l)
	if err != nil {
		t.Fatal(err)
	}
	plane := newDataPlane(&keeper{broker: willing{}, clock: clock, log: hclog.NewNullLogger()})
	plane.find = func(api.LeaseID) (api.Lease, Opened, int64, error) {
		return l, open, clock.Now() + int64(time.Minute), nil
	}
	for _, h2 := range []bool{false, true} {
		s := httptest.NewUnstartedServer(plane.handler())
		s.Config.WriteTimeout, s.Config.ReadTimeout = bound, bound
		s.EnableHTTP2 = h2
		s.StartTLS()
		defer s.Close()
		slow := func(length int64, want int) {
			body := &pausing{Reader: bytes.NewReader(bytes.Repeat([]byte{7}, 2*pieceMost)), at: pieceMost, wait: func() { time.Sleep(2 * bound) }}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/v1/leases/d", body)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = length
			r.Header.Set("Authorization", "Bearer token")
			answer, err := s.Client().Do(r)
			if err != nil {
				t.Errorf("h2 %t, length %d: %v", h2, length, err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want || (answer.ProtoMajor == 2) != h2 {
				t.Errorf("h2 %t, length %d: answered %s over %s", h2, length, answer.Status, answer.Proto)
			}
		}
		slow(2*pieceMost, http.StatusNoContent)
		slow(-1, http.StatusUnprocessableEntity) // untold, and too long
	}
}
