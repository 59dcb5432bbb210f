package api

import (
	"math"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 leases", 1: "1 lease", 2: "2 leases"} {
		if got := Count(n, "lease"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFormatMs(t *testing.T) {
	for ms, want := range map[int64]string{
		0: "0s", 1: "1ms", 100: "100ms", 1500: "1.5s", 60_000: "60s", -1: "-1ms", 90_000: "90s", 120_000: "2m", 5_400_000: "1h30m", 86_400_000: "24h", 90_000_000: "25h",
	} {
		if got := FormatMs(ms); got != want {
			t.Errorf("%d ms is %q, want %q", ms, got, want)
		}
	}
	for _, ms := range []int64{math.MaxInt64, math.MinInt64} {
		if got := FormatMs(ms); !strings.Contains(got, "h") {
			t.Errorf("%d ms is %q", ms, got)
		}
	}
	if err := CheckTTL(100); err == nil || !strings.Contains(err.Error(), "ttl is 100ms: it must be from 1 s to 24 h") {
		t.Errorf("got %v", err)
	}
}
