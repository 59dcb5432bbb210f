package ui

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 500: "1µs", 250 * time.Microsecond: "250µs", 12 * time.Millisecond: "12ms", 999 * time.Millisecond: "999ms",
		time.Second: "1s", 3400 * time.Millisecond: "3.4s", 9999 * time.Millisecond: "9.9s", 47 * time.Second: "47s",
		time.Minute: "1m", 310 * time.Second: "5m10s", time.Hour: "1h", 3*time.Hour + 20*time.Minute: "3h20m", 52 * time.Hour: "2d4h",
		-2 * time.Second: "-2s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) is %q, want %q", d, got, want)
		}
	}
}

func TestAmounts(t *testing.T) {
	for _, tt := range []struct {
		kind api.LeaseKind
		n    int64
		want string
	}{
		{api.KindCPU, 500, "0.5 cores"},
		{api.KindCPU, 1000, "1 core"},
		{api.KindMem, 64 << 20, "64 MiB"},
		{api.KindBlock, 512, "512 B"},
		{api.KindNet, 1_500_000, "1.5 Mb/s"},
		{api.KindNet, 999, "999 b/s"},
		{api.KindGPU, 1, "1 gpu"},
		{"leases", 7, "7"},
	} {
		if got := Amount(tt.kind, tt.n); got != tt.want {
			t.Errorf("Amount(%s, %d) is %q, want %q", tt.kind, tt.n, got, tt.want)
		}
	}
	for want, got := range map[string]Cell{
		"40/122 GiB":      Share(api.KindMem, 40<<30, 122<<30),
		"512 MiB/122 GiB": Share(api.KindMem, 512<<20, 122<<30),
		"0/122 GiB":       Share(api.KindMem, 0, 122<<30),
		"0.5/48":          Share(api.KindCPU, 500, 48_000),
		"6/8":             Share(api.KindGPU, 6, 8),
		"-":               Share(api.KindGPU, 0, 0),
	} {
		if got.Text != want {
			t.Errorf("share is %q, want %q", got.Text, want)
		}
	}
}

func TestTimes(t *testing.T) {
	now := noon()
	for want, got := range map[string]Cell{
		"47s":                           Age(now, now.Add(-47*time.Second)),
		"0s":                            Age(now, now.Add(time.Second)), // a clock that is ahead is no age
		"-":                             Age(now, time.Time{}),
		"in 42s":                        Until(now, now.Add(42*time.Second)),
		"3s ago":                        Until(now, now.Add(-3*time.Second)),
		"2026-11-23 11:52:00Z (8m ago)": Stamp(now, now.Add(-8*time.Minute)),
		"2026-11-23 12:08:00Z (in 8m)":  Stamp(now, now.Add(8*time.Minute)),
	} {
		if got.Text != want {
			t.Errorf("%q, want %q", got.Text, want)
		}
	}
}

func TestValuesReadWhatTheyPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, api.MaxAmount).Draw(t, "n")
		if rapid.Bool().Draw(t, "round") {
			n = min(n&^(1<<20-1)|1<<20, api.MaxAmount)
		}
		size := Size{N: n}
		var again Size
		if err := again.Set(size.String()); err != nil || again.N != n {
			t.Fatalf("%d prints as %q and reads as %d, %v", n, size.String(), again.N, err)
		}
		number := Number{N: n}
		var numberAgain Number
		if err := numberAgain.Set(number.String()); err != nil || numberAgain.N != n {
			t.Fatalf("%d prints as %q and reads as %d, %v", n, number.String(), numberAgain.N, err)
		}
		limit := Limit{N: n, Given: true, Plain: rapid.Bool().Draw(t, "plain")}
		limitAgain := Limit{Plain: limit.Plain}
		if err := limitAgain.Set(limit.String()); err != nil || limitAgain.N != n {
			t.Fatalf("%d prints as %q and reads as %d, %v", n, limit.String(), limitAgain.N, err)
		}
		fuel := Fuel{N: n}
		var fuelAgain Fuel
		if err := fuelAgain.Set(fuel.String()); err != nil || fuelAgain != fuel {
			t.Fatalf("%d prints as %q and reads as %d, %v", n, fuel.String(), fuelAgain.N, err)
		}
	})
}

func TestUnlimited(t *testing.T) {
	for _, text := range []string{"unlimited", "-1"} {
		var l Limit
		if err := l.Set(text); err != nil || l.N != api.Unlimited || l.String() != "unlimited" {
			t.Errorf("%s: %+v, %v", text, l, err)
		}
	}
	var f Fuel
	if err := f.Set("unlimited"); err != nil || f.N != -1 || f.String() != "unlimited" {
		t.Errorf("fuel: %+v, %v", f, err)
	}
	for _, bad := range []string{"", "-2", "x"} {
		if err := (&Limit{}).Set(bad); err == nil {
			t.Errorf("limit %q was taken", bad)
		}
	}
}
