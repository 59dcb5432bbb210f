package conformance

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// An address that is no https URL is a finding, and nobody asks there.
func TestReachedAtHTTPSOnly(t *testing.T) {
	var asked atomic.Int32
	at := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer at.Close()
	for _, url := range []string{at.URL, "file:///etc/passwd", "https://", "https://%zz", "10.0.0.1:7500"} {
		s := &suite{Config: Config{Cell: api.CellRecord{DataURL: url}, Direct: at.Client(), Clock: clock.System(), Emit: func(api.ConformanceCheck) {}}}
		s.reach(t.Context())
		if len(s.failed) != 1 || s.failed[0].Name != checkReached || s.direct != nil || asked.Load() > 0 {
			t.Errorf("%s: %+v, asked %d times", url, s.failed, asked.Load())
		}
	}
}

// stuck is a fabric whose cell begins an answer and says no more.
type stuck struct {
	Fabric
	body io.ReadCloser
}

func (f stuck) LeaseData(context.Context, api.DataRequest) (*api.DataAnswer, error) {
	return &api.DataAnswer{Body: f.body}, nil
}

// An answer that does not end is read until the check's time is over, and not longer.
func TestRelayedAnswerIsBounded(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	late := time.AfterFunc(10*time.Second, func() {
		t.Error("it is still read")
		_ = w.Close()
	})
	defer late.Stop()
	if _, err := (relayed{stuck{body: r}}).do(ctx, operation{length: 4}); err == nil {
		t.Error("half an answer is taken for a whole one")
	}
}

// Where there is only room for the suite's lease and for the least behind it, the second one is that small.
func TestSecondLeaseIsSmall(t *testing.T) {
	c := newCell(t, none)
	rec := c.record()
	p := offered(&rec)[0]
	rec.Capacity = api.Resources{}.With(p.kind, p.amount+p.least)
	c.capacity = rec.Capacity
	r, err := Run(t.Context(), Config{
		Fabric: c, ClusterID: clusterID, Cell: rec, Free: rec.Capacity, Clock: clock.System(), Emit: func(api.ConformanceCheck) {},
	})
	if err != nil || !r.Passed {
		t.Errorf("%+v, %v", r, err)
	}
}
