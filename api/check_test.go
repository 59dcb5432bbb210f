package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCheckName(t *testing.T) {
	good := []string{"a", "aws", "aws-use1-12", "a.b_c-9", strings.Repeat("a", MaxNameLen)}
	bad := []string{"", "-a", "a-", "A", "a b", "ä", "a/b", "a\n", "..", strings.Repeat("a", MaxNameLen+1)}
	for _, name := range good {
		if err := CheckName("tenant", name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range bad {
		if err := CheckName("tenant", name); KindOf(err) != InvalidArgument {
			t.Errorf("%q is taken: %v", name, err)
		}
	}
}

func TestCheckDigest(t *testing.T) {
	good := DigestOf([32]byte{1, 2, 3})
	if err := CheckDigest(good); err != nil {
		t.Error(err)
	}
	for _, d := range []Digest{"", "sha256:", good[:20], good + "0", "md5:" + good[4:], Digest(strings.ToUpper(string(good)))} {
		if err := CheckDigest(d); KindOf(err) != InvalidArgument {
			t.Errorf("%q is taken: %v", d, err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for key, ok := range map[string]bool{
		"k": true, "cli-7!~": true, strings.Repeat("k", MaxKeyLen): true,
		"": false, strings.Repeat("k", MaxKeyLen+1): false, "a b": false, "a\n": false, "\x00": false, "ü": false, "\x7f": false, "a\xff": false,
	} {
		if err := CheckKey(key); (err == nil) != ok || !ok && KindOf(err) != InvalidArgument {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestCheckTTL(t *testing.T) {
	for ms, ok := range map[int64]bool{999: false, 1000: true, MaxTTL.Milliseconds(): true, MaxTTL.Milliseconds() + 1: false, 0: false, -1: false} {
		if err := CheckTTL(ms); (err == nil) != ok {
			t.Errorf("%d ms: %v", ms, err)
		}
	}
}

func TestRunRequestCheck(t *testing.T) {
	whole := RunRequest{
		Provider: "local", Module: DigestOf([32]byte{}), Resources: Resources{CPU: 500, Mem: 1 << 20}, TTLMs: 1000,
	}
	if err := whole.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*RunRequest){
		"no provider":    func(r *RunRequest) { r.Provider = "" },
		"no module":      func(r *RunRequest) { r.Module = "" },
		"no memory":      func(r *RunRequest) { r.Resources.Mem = 0 },
		"no cpu":         func(r *RunRequest) { r.Resources.CPU = 0 },
		"ttl":            func(r *RunRequest) { r.TTLMs = 10 },
		"profile":        func(r *RunRequest) { r.Profile = "native" },
		"priority":       func(r *RunRequest) { r.Priority = "urgent" },
		"retries":        func(r *RunRequest) { r.Retries = MaxRetries + 1 },
		"fuel":           func(r *RunRequest) { r.Fuel = -2 },
		"tasklet":        func(r *RunRequest) { r.Tasklet = "two\nlines" },
		"input":          func(r *RunRequest) { r.Input = "sha256:short" },
		"negative block": func(r *RunRequest) { r.Resources.Block = -512 },
	} {
		r := whole
		spoil(&r)
		if err := r.Check(); KindOf(err) != InvalidArgument {
			t.Errorf("%s is taken: %v", name, err)
		}
		if err := r.CheckNew(); KindOf(err) != InvalidArgument {
			t.Errorf("%s is taken now: %v", name, err)
		}
	}
	whole.Resources.Mem = MinRunMem
	if err := whole.CheckNew(); err != nil {
		t.Error(err)
	}
	whole.Resources.Mem--
	if err := whole.CheckNew(); KindOf(err) != InvalidArgument || Problem(err).Hint == "" {
		t.Errorf("less than a module has: %v", err)
	}
	if err := whole.Check(); err != nil {
		t.Errorf("a log of old holds it: %v", err)
	}
}

func TestQuotaExceeded(t *testing.T) {
	q := NoQuota()
	if s := q.Exceeded(Resources{Mem: MaxAmount}, 1e6, Resources{Mem: MaxAmount}, 256); s != nil {
		t.Errorf("no quota refuses: %+v", s)
	}
	q.Mem, q.Leases = 100, 2
	tests := []struct {
		name   string
		used   Resources
		leases int64
		ask    Resources
		n      int64
		want   *Shortage
	}{
		{"to the limit", Resources{Mem: 60}, 1, Resources{Mem: 40}, 1, nil},
		{"past it by one", Resources{Mem: 60}, 1, Resources{Mem: 41}, 1, &Shortage{"mem", 100, 60, 41}},
		{"over it already, asking for something else", Resources{Mem: 200}, 1, Resources{CPU: 1}, 1, nil},
		{"count", Resources{}, 2, Resources{CPU: 1}, 1, &Shortage{"leases", 2, 2, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := q.Exceeded(tt.used, tt.leases, tt.ask, tt.n)
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	err := fmt.Errorf("ask the leader: %w", Refuse(QuotaExceeded, "no more"))
	if KindOf(err) != QuotaExceeded || Problem(err).Status != 409 {
		t.Errorf("got %s", KindOf(err))
	}
	if KindOf(nil) != "" || Problem(nil) != nil {
		t.Error("no error has a kind")
	}
	if KindOf(errors.New("disk")) != Internal {
		t.Error("an error without a kind is internal")
	}
}

func TestCursor(t *testing.T) {
	for _, c := range []Cursor{{}, {1, 0}, {7, 3}, {1 << 60, 1<<32 - 1}} {
		got, err := ParseCursor(c.String())
		if err != nil || got != c {
			t.Errorf("%s came back as %s: %v", c, got, err)
		}
	}
	whole, err := ParseCursor("7")
	if err != nil || whole.Before(Cursor{7, 9}) || !whole.Before(Cursor{8, 0}) {
		t.Errorf("7 is after all of entry 7: %s %v", whole, err)
	}
	for _, s := range []string{"", "x", "1.", "1.x", "-1", "1.5000000000"} {
		if _, err := ParseCursor(s); KindOf(err) != InvalidArgument {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestTTLMath(t *testing.T) {
	if (Lease{TTLMs: 1500}).TTL() != 1500*time.Millisecond {
		t.Error("ttl_ms is milliseconds")
	}
}
