package api

import (
	"testing"

	"pgregory.net/rapid"
)

func drawResources(t *rapid.T, name string) Resources {
	n := rapid.Int64Range(-MaxAmount, MaxAmount)
	return Resources{
		CPU: n.Draw(t, name+" cpu"), Mem: n.Draw(t, name+" mem"), Block: n.Draw(t, name+" block"),
		Net: n.Draw(t, name+" net"), GPU: n.Draw(t, name+" gpu"),
	}
}

func TestResourceArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawResources(t, "a"), drawResources(t, "b")
		if a.Add(b).Sub(b) != a {
			t.Fatalf("%+v + %+v - the same is another", a, b)
		}
		if a.Fits(b) != (len(a.Short(b)) == 0) {
			t.Fatalf("Fits says %v, Short %v", a.Fits(b), a.Short(b))
		}
		for _, k := range LeaseKinds() {
			if got := a.With(k, 7).Get(k); got != 7 {
				t.Fatalf("%s with 7 is %d", k, got)
			}
			if f := a.Floor().Get(k); f < 0 || a.Get(k) >= 0 && f != a.Get(k) {
				t.Fatalf("floor of %d is %d", a.Get(k), f)
			}
		}
	})
}

func TestCheckAsk(t *testing.T) {
	tests := []struct {
		name string
		ask  Resources
		ok   bool
	}{
		{"nothing", Resources{}, false},
		{"one byte", Resources{Mem: 1}, true},
		{"negative", Resources{Mem: -1}, false},
		{"negative beside positive", Resources{CPU: 100, GPU: -1}, false},
		{"most", Resources{Mem: MaxAmount}, true},
		{"more than most", Resources{Mem: MaxAmount + 1}, false},
		{"whole blocks", Resources{Block: 1024}, true},
		{"half a block", Resources{Block: 1000}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.ask.CheckAsk()
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
			if err != nil && KindOf(err) != InvalidArgument {
				t.Errorf("kind is %s", KindOf(err))
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"512", 512, true},
		{"1K", 1 << 10, true},
		{"64M", 64 << 20, true},
		{"64MiB", 64 << 20, true},
		{"2g", 2 << 30, true},
		{"1T", 1 << 40, true},
		{"8T", 0, false}, // past MaxAmount
		{"", 0, false},
		{"-1", 0, false},
		{"1.5G", 0, false},
		{"M", 0, false},
		{"1P", 0, false},
		{"9223372036854775807G", 0, false},
	}
	for _, tt := range tests {
		got, err := ParseSize(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseSize(%q) = %d, %v", tt.in, got, err)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"64M", "1.5G", "-1", "9223372036854775807T", "0x10", "1iB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err == nil && (n < 0 || n > MaxAmount) {
			t.Errorf("ParseSize(%q) = %d", s, n)
		}
		if err != nil && KindOf(err) != InvalidArgument {
			t.Errorf("ParseSize(%q): %v", s, err)
		}
	})
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 64 << 20: "64 MiB", 3 << 30: "3 GiB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}
