package client

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestFewCallsShareOneConnection: a client that does not ask much has one connection.
func TestFewCallsShareOneConnection(t *testing.T) {
	var conns sync.Map
	s := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr+" "+r.Proto, true)
		answer(w, 1)
	})
	c := clientOf(t, 0, s)
	for range 10 * wirePrice {
		if _, err := show(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	conns.Range(func(key, _ any) bool {
		if n++; !strings.HasSuffix(fmt.Sprint(key), "HTTP/2.0") {
			t.Error(key)
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestManyCallsHaveWires: a busy client opens wires, and no more than it may; they close when it
// is busy no more.
func TestManyCallsHaveWires(t *testing.T) {
	var mu sync.Mutex
	wired, plain := map[string]bool{}, 0
	s := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if r.ProtoMajor == 1 {
			wired[r.RemoteAddr] = true
		} else {
			plain++
		}
		mu.Unlock()
		answer(w, 1)
	})
	c := clientOf(t, 0, s)
	if _, err := show(t.Context(), c); err != nil { // or all of them dial
		t.Fatal(err)
	}
	const some = 8
	var wg sync.WaitGroup
	enough := func() bool { mu.Lock(); defer mu.Unlock(); return len(wired) >= some }
	for range 4 * some {
		wg.Go(func() {
			for n := 0; n < 5000 && !enough(); n++ {
				if _, err := show(t.Context(), c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	c.wires.opened.Wait()
	if len(wired) < some || plain < len(wired)*wirePrice {
		t.Errorf("%d wires, %d calls over HTTP/2", len(wired), plain)
	}
	if open, idle := counts(c, s.URL); open != idle || open < some {
		t.Errorf("%d wires open, %d idle", open, idle)
	}
	h := c.wires.at(s.URL)
	h.mu.Lock()
	for _, w := range h.idle {
		w.since = w.since.Add(-wireIdle)
	}
	h.mu.Unlock()
	h.reap()
	if open, idle := counts(c, s.URL); open != 0 || idle != 0 {
		t.Errorf("%d wires open, %d idle when all were idle for too long", open, idle)
	}
}

// TestWiresAreBounded: however much is paid, there are no more than maxWires, nor more than
// maxDialing at a time.
func TestWiresAreBounded(t *testing.T) {
	s := overTLS(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 1) })
	c := clientOf(t, 0, s)
	h := c.wires.at(s.URL)
	begin := func() *wire {
		pay(h)
		w := h.begin()
		c.wires.opened.Wait()
		return w
	}
	var all []*wire
	for len(all) < maxWires {
		if w := begin(); w != nil {
			all = append(all, w)
		} else if open, idle := counts(c, s.URL); open != len(all)+1 || idle != 1 {
			t.Fatalf("%d wires open, %d idle beside %d", open, idle, len(all))
		}
	}
	full := func(what string) {
		t.Helper()
		before, _ := counts(c, s.URL)
		if w := begin(); w != nil {
			t.Error("a wire was idle")
		}
		if open, idle := counts(c, s.URL); open != before || idle != 0 {
			t.Errorf("%s: %d wires open, %d idle", what, open, idle)
		}
	}
	full("all are open")
	h.drop(all[0])
	h.mu.Lock()
	h.dialing = maxDialing
	h.mu.Unlock()
	full("many are being opened")
	for _, w := range all[1:] {
		h.put(w)
	}
	if w := begin(); w != all[maxWires-1] {
		t.Error("not the one that was used last")
	}
}

// TestWireIsAlike: whatever a scheduler answers, a call over a wire ends as one over HTTP/2.
func TestWireIsAlike(t *testing.T) {
	large := strings.Repeat(" ", maxSaid+1)
	for name, h := range map[string]http.HandlerFunc{
		"answer": func(w http.ResponseWriter, _ *http.Request) { answer(w, 7) },
		"in parts": func(w http.ResponseWriter, _ *http.Request) {
			for _, part := range []string{`{"index":7,`, `"lease":{}}`} {
				_, _ = io.WriteString(w, part)
				_ = http.NewResponseController(w).Flush()
			}
		},
		"large": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"index":7,"lease":{}}`+large) },
		"large, of a known length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(large)+2))
			_, _ = io.WriteString(w, "{}"+large)
		},
		"closing":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close"); answer(w, 7) },
		"empty":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"not json": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"problem": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, api.Refuse(api.QuotaExceeded, "no").WithHint("ask"))
		},
		"no leader": func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.Refuse(api.NoLeader, "none")) },
		"page":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what?", http.StatusTeapot) },
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"index":7`)
		},
		"broken":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"gateway": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			var last atomic.Int32
			s := overTLS(t, func(w http.ResponseWriter, r *http.Request) { last.Store(int32(r.ProtoMajor)); h(w, r) })
			outcome := func(overWire bool) string {
				c := clientOf(t, 0, s)
				c.attempts = 1
				var said []string
				for range 2 {
					if overWire {
						wired(t, c)
					}
					index, err := show(t.Context(), c)
					text := fmt.Sprint(index)
					if err != nil {
						text = string(api.KindOf(err))
					}
					said = append(said, text)
				}
				if open, idle := counts(c, s.URL); open != idle {
					t.Errorf("%d wires open, %d idle", open, idle)
				}
				return strings.Join(said, ", ")
			}
			plain := outcome(false)
			if last.Load() != 2 {
				t.Errorf("HTTP/%d", last.Load())
			}
			if got := outcome(true); got != plain {
				t.Errorf("over a wire %q, over HTTP/2 %q", got, plain)
			}
			// What breaks before an answer is sent again over HTTP/2.
			if last.Load() != 1 && name != "broken" {
				t.Errorf("HTTP/%d over a wire", last.Load())
			}
		})
	}
}

// TestWireIsWhatItSays: the request that a wire carries is the one that HTTP/2 would.
func TestWireIsWhatItSays(t *testing.T) {
	var got [2]string
	s := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got[r.ProtoMajor-1] = fmt.Sprint(r.Method, r.Host, r.RequestURI, r.ContentLength, r.Header, string(body))
		_, _ = io.WriteString(w, "{}")
	})
	o := api.WriteOptions{IdempotencyKey: "key-1", Reason: "a b&c=d ü"}
	for name, do := range map[string]func(*Client) error{
		"read": func(c *Client) error {
			_, err := c.ShowLease(t.Context(), "l/1 ü", api.ReadOptions{Consistency: api.Stale})
			return err
		},
		"write": func(c *Client) error {
			_, err := c.RevokeLease(t.Context(), "l-1", api.RevokeRequest{GraceMs: 5}, o)
			return err
		},
		"empty": func(c *Client) error { _, err := c.FreeLease(t.Context(), "l-1", o); return err },
		"gone":  func(c *Client) error { _, err := c.DeleteTenant(t.Context(), "acme", o); return err },
	} {
		got = [2]string{}
		c := clientOf(t, 0, s)
		c.config.Token = func() (string, error) { return "secret", nil }
		for _, overWire := range []bool{false, true} {
			if overWire {
				wired(t, c)
			}
			if err := do(c); err != nil {
				t.Fatal(name, err)
			}
		}
		// What HTTP/2 has in pseudo headers of its own order is alike in both.
		one, two := strings.ReplaceAll(got[0], "Accept-Encoding:[gzip] ", ""), strings.ReplaceAll(got[1], "Accept-Encoding:[gzip] ", "")
		if one != two || one == "" {
			t.Errorf("%s: over a wire\n%s\nover HTTP/2\n%s", name, one, two)
		}
	}
}

// TestWhatWaitsHasNoWire: what waits for a cell or a change, and what is large, goes over HTTP/2.
func TestWhatWaitsHasNoWire(t *testing.T) {
	for name, k := range map[string]call{
		"admission": patient(write(http.MethodPost, "/leases", api.LeaseRequest{}, api.WriteOptions{})),
		"wait":      get("/leases/l-1", nil, api.ReadOptions{AfterIndex: 1, Wait: time.Second}),
		"stream":    {method: http.MethodGet, stream: true},
		"blob":      {method: http.MethodPut, open: func() (io.Reader, error) { return nil, io.EOF }},
		"head":      {method: http.MethodHead},
		"large":     write(http.MethodPost, "/x", strings.Repeat("x", maxRequest), api.WriteOptions{}),
	} {
		p, err := k.prepare()
		if err != nil {
			t.Fatal(err)
		}
		if p.brief() {
			t.Errorf("%s goes over a wire", name)
		}
	}
}

// TestWireTakesNoSecondRequest: what would end a line of a request, and begin another, does not
// go over a wire.
func TestWireTakesNoSecondRequest(t *testing.T) {
	good := prepared{call: call{method: "GET", path: "/api/v1/leases/l-1", key: "k"}, queried: "a=b"}
	h := heads{agent: "grafos", accept: jsonType}
	if _, ok := appendRequest(nil, "host", &good, &h); !ok {
		t.Fatal("a plain request is not written")
	}
	for _, bad := range []string{"a\r\nHost: other", "a\nb", "a\rb", "a\x00", "\x7f", "ü", " a", "a ", "\t"} {
		for name, spoil := range map[string]func(*prepared, *heads){
			"path":          func(p *prepared, _ *heads) { p.path += bad },
			"query":         func(p *prepared, _ *heads) { p.queried += bad },
			"key":           func(p *prepared, _ *heads) { p.key = bad },
			"agent":         func(_ *prepared, h *heads) { h.agent = bad },
			"authorization": func(_ *prepared, h *heads) { h.authorization = bad },
		} {
			p, h := good, h
			spoil(&p, &h)
			if b, ok := appendRequest(nil, "host", &p, &h); ok {
				t.Errorf("%s with %q is written: %q", name, bad, b)
			}
		}
	}
}

// TestLongHead: a head of an answer that does not end is not read to no end.
func TestLongHead(t *testing.T) {
	s := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			w.Header().Set("Long", strings.Repeat("x", maxHeaderBytes))
		}
		answer(w, 1)
	})
	c := clientOf(t, 0, s)
	c.attempts = 1
	wired(t, c)
	if _, err := show(t.Context(), c); err == nil || !strings.Contains(err.Error(), errLongHead.Error()) {
		t.Error(err)
	}
}
