package api

import (
	"testing"
	"time"
)

func TestFleetTimers(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		heartbeat, limit time.Duration
		cells            int
		interval, over   time.Duration
	}{
		{250 * ms, 3 * time.Second, 3, 250 * ms, 3 * time.Second},
		{100 * ms, time.Second, 250, 100 * ms, time.Second},
		{250 * ms, 3 * time.Second, 251, 500 * ms, 3 * time.Second},
		{250 * ms, 3 * time.Second, 1000, time.Second, 3 * time.Second},
		{250 * ms, 3 * time.Second, 1001, 1250 * ms, 3750 * ms},
		{250 * ms, 3 * time.Second, 100_000, HeartbeatMost, 15 * time.Second},
		{5 * time.Second, 15 * time.Second, 10_000, 5 * time.Second, 15 * time.Second},
		{8 * time.Second, 30 * time.Second, 10_000, 8 * time.Second, 30 * time.Second},
		{8 * time.Second, 20 * time.Second, 3, 8 * time.Second, 20 * time.Second},
	} {
		interval, over := FleetTimers(tt.heartbeat, tt.limit, tt.cells)
		if interval != tt.interval || over != tt.over {
			t.Errorf("%d cells of %s, %s: %s, %s; want %s, %s", tt.cells, tt.heartbeat, tt.limit, interval, over, tt.interval, tt.over)
		}
	}
	if room := DeliveryBound - HeartbeatMost; room < 2*time.Second {
		t.Errorf("a stamp has %s for its way", room)
	}
}
