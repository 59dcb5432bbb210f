package control

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// A session tells the cell of the timers of the fleet, and of new ones when it has grown.
func TestSessionsTellTheTimers(t *testing.T) {
	r := newRig(t)
	r.c.cfg.Heartbeat, r.c.cfg.Limit = 250*time.Millisecond, 3*time.Second
	r.register("c1", "agent-1")
	rec, _ := r.m.View().Cell("c1")
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	var told []int64
	for d, err := range r.c.Watch(ctx, "aws", "c1", api.WatchRequest{Epoch: rec.Epoch}) {
		if err != nil {
			t.Fatal(err)
		}
		if d.HeartbeatMs == 0 {
			continue
		}
		told = append(told, d.HeartbeatMs)
		if len(told) == 2 {
			break
		}
		for i := range 300 {
			r.must(fsm.RegisterCell{
				Actor: "cell", Provider: "gcp", Cell: api.CellID(fmt.Sprint("g", i)), Agent: "agent", BrokerKey: "bb", Identity: api.Identity{SPKI: "ab"},
			})
		}
	}
	if len(told) != 2 || told[0] != 250 || told[1] != 500 {
		t.Errorf("told %v", told)
	}
	if heartbeat, limit := r.c.timers(); heartbeat != 500*time.Millisecond || limit != 3*time.Second {
		t.Errorf("timers %s, %s", heartbeat, limit)
	}
}
