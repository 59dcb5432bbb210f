package conformance

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// proved is a suite against a fake cell, with its checks by name.
func proved(t *testing.T, c *cell, change func(*Config)) map[string]api.ConformanceCheck {
	t.Helper()
	rec := c.record()
	checks := map[string]api.ConformanceCheck{}
	cfg := Config{
		Fabric: c, ClusterID: clusterID, Cell: rec, Free: rec.Capacity, Host: "127.0.0.1", Clock: clock.System(),
		Emit: func(check api.ConformanceCheck) { checks[check.ID()] = check },
	}
	change(&cfg)
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return checks
}

// Of each of these flaws its own checks tell, and no other.
func TestOneCheckTells(t *testing.T) {
	for f, want := range map[flaw][]string{
		otherGPU: {"gpu/ordinals"}, oneGPU: {"gpu/exclusive"}, anywhere: {"net/refused_elsewhere"}, loses: {"net/connected"},
		keepsFlows: {"net/cut_at_its_end", "net/cut_when_revoked"},
	} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			for name, c := range proved(t, newCell(t, f), func(*Config) {}) {
				if c.OK == slices.Contains(want, name) {
					t.Errorf("%s: %+v", name, c)
				}
			}
		})
	}
}

// Where a run cannot be made, or cannot get here, nothing is said of its cell, but why.
func TestCallsThatAreNotMade(t *testing.T) {
	connecting := []string{"net/connected", "net/cut_at_its_end", "net/cut_when_revoked"}
	all := append(slices.Clone(connecting), "net/refused_elsewhere")
	for name, c := range map[string]struct {
		flaw    flaw
		change  func(*Config)
		skipped []string
		why     string
	}{
		"walls between":  {walled, func(*Config) {}, connecting, "dial returns -9"},
		"no address":     {none, func(c *Config) { c.Host = "" }, all, "names no address"},
		"another's":      {none, func(c *Config) { c.Host = "192.0.2.254" }, all, "nothing can listen"},
		"an odd name":    {none, func(c *Config) { c.Host = "nowhere.invalid" }, all, "is not found"},
		"a slow network": {none, func(c *Config) { c.Free.Net = 2000 }, all, "bits/s"},
		"little memory":  {none, func(c *Config) { c.Free.Mem = runMem + 2*size }, all, "no room"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for id, check := range proved(t, newCell(t, c.flaw), c.change) {
				skipped := check.Skipped != ""
				if !check.OK || strings.HasPrefix(id, "net/") && skipped != slices.Contains(c.skipped, id) {
					t.Errorf("%s: %+v", id, check)
				}
				if skipped && slices.Contains(c.skipped, id) && !strings.Contains(check.Skipped, c.why) {
					t.Errorf("%s is skipped: %s", id, check.Skipped)
				}
			}
		})
	}
}

// Of a cell with one gpu the second lease is refused for lack of room, and the first gpu is given again.
func TestOneGPU(t *testing.T) {
	c := newCell(t, none)
	c.capacity = api.Resources{GPU: 1}
	checks := proved(t, c, func(cfg *Config) { cfg.Free.GPU, cfg.Cell.Capacity.GPU = 1, 1 })
	for _, id := range []string{"gpu/exclusive", "gpu/ordinals", "gpu/leased_for_a_holder"} {
		if check := checks[id]; !check.OK || check.Skipped != "" {
			t.Errorf("%s: %+v", id, check)
		}
	}
}

// A wire answers its secret, once; whoever does not know it learns nothing, and takes it from nobody.
func TestWire(t *testing.T) {
	s := &suite{Config: Config{Host: "127.0.0.1", Clock: clock.System()}}
	w, err := s.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	said := func(text string) string {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn) // one that is cut off is none
		return string(answer)
	}
	if got := said(strings.Repeat("x", len(w.secret))); got != "" || w.meeting() != nil {
		t.Errorf("a stranger hears %q", got)
	}
	if got := said(w.secret); got != w.answer {
		t.Errorf("the secret is answered by %q", got)
	}
	if got := said(w.secret); got != "" {
		t.Errorf("a second time by %q", got)
	}
	m := w.meeting()
	select {
	case <-m.over:
	case <-time.After(10 * time.Second):
		t.Error("the meeting is not over")
	}
	var strangers []net.Conn
	for range wireMost + 1 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, conn)
	}
	if _, err := strangers[wireMost].Read(make([]byte, 1)); err == nil || !w.turnedAway() {
		t.Errorf("one too many is let in: %v", err)
	}
	w.close()
	for _, conn := range strangers {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives its wire")
		}
		_ = conn.Close()
	}
	ctx, stop := context.WithCancel(t.Context())
	if w, err = s.listen(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	w.all.Wait() // whoever stops the suite ends it too
}

// Numbers are written as the specification of WebAssembly says it of LEB128.
func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "\x00", 127: "\x7f", 128: "\x80\x01", 624485: "\xe5\x8e\x26"} {
		if got := number(n); string(got) != want {
			t.Errorf("%d is % x", n, got)
		}
	}
	for n, want := range map[int]string{0: "\x00", 63: "\x3f", 64: "\xc0\x00", -1: "\x7f", -64: "\x40", -65: "\xbf\x7f", 4096: "\x80\x20", -123456: "\xc0\xbb\x78"} {
		if got := i32(n); string(got) != "\x41"+want {
			t.Errorf("%d is % x", n, got)
		}
	}
}
