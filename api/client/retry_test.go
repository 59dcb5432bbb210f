package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// served starts plain HTTP servers and returns a client of them.
func served(t *testing.T, handlers ...http.HandlerFunc) *Client {
	t.Helper()
	c := Config{Timeout: 5 * time.Second}
	for _, h := range handlers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		c.URLs = append(c.URLs, s.URL)
	}
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, p *api.Error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// TestRepeats: which answers are asked for again, and that the key stays the same.
func TestRepeats(t *testing.T) {
	broken := func(_ http.ResponseWriter, _ *api.Error) { panic(http.ErrAbortHandler) }
	status := func(code int) func(http.ResponseWriter, *api.Error) {
		return func(w http.ResponseWriter, _ *api.Error) { w.WriteHeader(code) }
	}
	half := func(w http.ResponseWriter, _ *api.Error) {
		_, _ = io.WriteString(w, `{"index":1,"tenant":{"ten`)
	}
	tests := []struct {
		name   string
		kind   api.Kind
		answer func(http.ResponseWriter, *api.Error)
		again  bool
	}{
		{"no leader", api.NoLeader, refuse, true},
		{"outcome unknown", api.OutcomeUnknown, refuse, true},
		{"overloaded", api.Overloaded, refuse, true},
		{"broken connection", "", broken, true},
		{"half an answer", "", half, true},
		{"bad gateway", "", status(502), true},
		{"gateway timeout", "", status(504), true},
		{"a page", "", status(404), false},
		{"bind timeout", api.BindTimeout, refuse, false},
		{"quota", api.QuotaExceeded, refuse, false},
		{"conflict", api.Conflict, refuse, false},
		{"internal", api.Internal, refuse, false},
		{"forbidden", api.Forbidden, refuse, false},
		{"unauthenticated", api.Unauthenticated, refuse, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			c := served(t, func(w http.ResponseWriter, r *http.Request) {
				keys = append(keys, r.Header.Get("Idempotency-Key"))
				if len(keys) < 3 {
					tt.answer(w, api.Refuse(tt.kind, "no"))
					return
				}
				_, _ = io.WriteString(w, `{"index":9}`)
			})
			a, err := c.CreateTenant(t.Context(), "acme", api.WriteOptions{})
			if tt.again && (err != nil || a.Index != 9 || len(keys) != 3) {
				t.Fatalf("%d tries, %v; want 3 and an answer", len(keys), err)
			}
			if !tt.again && (err == nil || len(keys) != 1) {
				t.Fatalf("%d tries, %v; want 1 and an error", len(keys), err)
			}
			for _, k := range keys {
				if k == "" || k != keys[0] {
					t.Errorf("keys %q differ", keys)
				}
			}
		})
	}
}

// TestDeadCell: a cell that cannot be asked has some seconds to come back, whatever more time the
// call has; other calls, and callers who said how long to wait, have all of it.
func TestDeadCell(t *testing.T) {
	const words = "no scheduler holds a session of cell c-1"
	dead := func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.Refuse(api.OutcomeUnknown, words)) }
	cl := served(t, dead, dead)
	if cl.patience != 0 {
		t.Errorf("who gives a timeout waits for %s", cl.patience)
	}
	usual, err := New(Config{URLs: []string{"https://h:1"}})
	if err != nil || usual.patience != cellPatience {
		t.Fatal(err, usual.patience)
	}
	cl.patience = 50 * time.Millisecond
	began := time.Now()
	_, token := cl.LeaseToken(t.Context(), "l-1", api.WriteOptions{})
	_, data := cl.LeaseData(t.Context(), api.DataRequest{Lease: "l-1", Length: 8})
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a dead cell is asked for %s", took)
	}
	for _, err := range []error{token, data} {
		if api.KindOf(err) != api.OutcomeUnknown || !strings.Contains(err.Error(), words) {
			t.Errorf("a dead cell: %v", err)
		}
	}
	var asked atomic.Int32
	late := served(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			dead(w, r)
		}
	})
	late.patience = 1 // over before a large operation is
	if _, err := late.LeaseData(t.Context(), api.DataRequest{Lease: "l-1", Write: true, Length: 1, Body: strings.NewReader("x")}); err != nil || asked.Load() != 2 {
		t.Errorf("a cell that is lost late: %v, asked %d times", err, asked.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began = time.Now()
	_, _ = cl.CreateTenant(ctx, "acme", api.WriteOptions{})
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("what no cell answers is given up after %s", took)
	}
}

// TestRemovedScheduler: one that was removed is passed by; what the others say counts, and when
// all say it, nobody waits for more.
func TestRemovedScheduler(t *testing.T) {
	removed := func(asked *atomic.Int32) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			refuse(w, api.Refuse(api.SchedulerRemoved, "s4 was removed by operator/alice"))
		}
	}
	var gone, also atomic.Int32
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"index":9}`) }
	if a, err := served(t, removed(&gone), ok).CreateTenant(t.Context(), "acme", api.WriteOptions{}); err != nil || a.Index != 9 || gone.Load() != 1 {
		t.Errorf("with another one: %v, after it was asked %d times", err, gone.Load())
	}
	gone.Store(0)
	_, err := served(t, removed(&gone), removed(&also)).CreateTenant(t.Context(), "acme", api.WriteOptions{})
	if p, is := api.AsError(err); !is || p.Kind != api.SchedulerRemoved || p.Retryable || gone.Load() != 1 || also.Load() != 1 {
		t.Errorf("with removed ones alone: %v, after %d and %d", err, gone.Load(), also.Load())
	}
	gone.Store(0)
	down := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err = served(t, removed(&gone), down).ListTenants(ctx, api.ReadOptions{}); api.KindOf(err) != api.NoLeader {
		t.Errorf("while the other one is down: %v, want no_leader: it may come back", err)
	}
	if _, err = served(t, removed(&gone), down).CreateTenant(ctx, "acme", api.WriteOptions{}); api.KindOf(err) != api.NoLeader && api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("a write while the other one is down: %v", err)
	}
}

// TestLeaderOfRemoved: what asks for the leader by itself passes by who was removed, too.
func TestLeaderOfRemoved(t *testing.T) {
	state := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"node_id":"s4","removed":{"kind":"scheduler_removed","detail":"s4 was removed","status":409}}`)
	}
	c := served(t, state, state)
	if err := c.atLeader(t.Context(), func(*Client) error { return nil }); api.KindOf(err) != api.SchedulerRemoved {
		t.Errorf("got %v", err)
	}
	other := served(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"leader_url":"https://s1"}`) })
	c.urls[1] = other.urls[0]
	at := ""
	if err := c.atLeader(t.Context(), func(l *Client) error { at = l.URL(); return nil }); err != nil || at != "https://s1" {
		t.Errorf("asked %q: %v", at, err)
	}
}

// TestKindNotStatus: the kind is read from the body.
func TestKindNotStatus(t *testing.T) {
	c := served(t, func(w http.ResponseWriter, _ *http.Request) {
		p := api.Refuse(api.TenantHasLeases, "3 leases")
		p.Status = 418
		refuse(w, p)
	})
	if _, err := c.DeleteTenant(t.Context(), "acme", api.WriteOptions{}); api.KindOf(err) != api.TenantHasLeases {
		t.Errorf("got %v", err)
	}
}

// TestRetryAfter: the server's wait is kept.
func TestRetryAfter(t *testing.T) {
	var first time.Time
	var waited time.Duration
	c := served(t, func(w http.ResponseWriter, _ *http.Request) {
		if first.IsZero() {
			first = time.Now()
			p := api.Refuse(api.Overloaded, "later")
			p.RetryAfterMs = 150
			refuse(w, p)
			return
		}
		waited = time.Since(first)
		_, _ = io.WriteString(w, `{}`)
	})
	if _, err := c.ListTenants(t.Context(), api.ReadOptions{}); err != nil || waited < 150*time.Millisecond {
		t.Errorf("came again after %s, %v", waited, err)
	}
}

// TestSticks: a call goes to the scheduler that answered last.
func TestSticks(t *testing.T) {
	var a, b atomic.Int32
	c := served(t, func(w http.ResponseWriter, _ *http.Request) {
		a.Add(1)
		refuse(w, api.Refuse(api.NoLeader, "no"))
	}, func(w http.ResponseWriter, _ *http.Request) {
		b.Add(1)
		_, _ = io.WriteString(w, `{}`)
	})
	for range 3 {
		if _, err := c.ListTenants(t.Context(), api.ReadOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if a.Load() != 1 || b.Load() != 3 {
		t.Errorf("asked %d and %d times, want 1 and 3", a.Load(), b.Load())
	}
}

// TestStuckScheduler: one that takes a request and says nothing uses up its share only.
func TestStuckScheduler(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	c := served(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"index":4}`) })
	c.config.Timeout = time.Second
	if l, err := c.ListTenants(t.Context(), api.ReadOptions{}); err != nil || l.Index != 4 {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestToken(t *testing.T) {
	if _, err := New(Config{URLs: []string{"http://127.0.0.1:1"}, Token: func() (string, error) { return "x", nil }}); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("a token over http: %v", err)
	}
	c := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			refuse(w, api.Refuse(api.Unauthenticated, "who?"))
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	c.config.Token = func() (string, error) { return "secret", nil }
	if _, err := c.ListTenants(t.Context(), api.ReadOptions{}); err != nil {
		t.Error(err)
	}
	c.config.Token = func() (string, error) { return "", errors.New("no such file") }
	if _, err := c.ListTenants(t.Context(), api.ReadOptions{}); api.KindOf(err) != api.Unauthenticated {
		t.Errorf("a token that cannot be read: %v", err)
	}
}

// TestNoRedirect: credentials are not carried to where an answer points.
func TestNoRedirect(t *testing.T) {
	c := served(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
	})
	if _, err := c.ListTenants(t.Context(), api.ReadOptions{}); api.KindOf(err) != api.Internal {
		t.Errorf("got %v", err)
	}
}

func TestURLs(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"https://h:7490", "https://h:7490", true},
		{" https://h:7490/ ", "https://h:7490", true},
		{"http://[::1]:80", "http://[::1]:80", true},
		{"h:7490", "", false},
		{"ftp://h", "", false},
		{"https://", "", false},
		{"https://h/api", "", false},
		{"https://u:secret@h", "", false},
		{"https://h?x=1", "", false},
		{"https://:7490", "", false},
		{"https://h:0", "", false},
		{"https://h:65536", "", false},
		{"https://h\x00", "", false},
	} {
		got, err := checkURL(tt.in, false)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("checkURL(%q) = %q, %v", tt.in, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v tells a password", err)
		}
		if err := CheckURL(tt.in); (err == nil) != strings.HasPrefix(tt.want, "https:") {
			t.Errorf("CheckURL(%q) = %v", tt.in, err)
		}
	}
	if _, err := New(Config{}); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("no address: %v", err)
	}
}

// TestBackoff: a wait is above nothing and below its cap, whatever the round.
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		round := rapid.IntRange(0, 1_000_000).Draw(t, "round")
		if d := backoff(round); d <= 0 || d > backoffCap+time.Millisecond {
			t.Fatalf("backoff(%d) = %s", round, d)
		}
	})
}

// TestPages: a list ends when the pages do, when it has enough, and when a scheduler
// answers with the page that was asked for.
func TestPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 10).Draw(t, "sizes")
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		got, asked := 0, 0
		err := pages("", limit, func(_ string, left int) (int, string, error) {
			n := sizes[asked]
			if limit > 0 {
				n = min(n, left)
			}
			got += n
			asked++
			if asked == len(sizes) {
				return n, "", nil
			}
			return n, fmt.Sprint(asked), nil
		})
		if err != nil || limit > 0 && got > limit || limit == 0 && asked != len(sizes) {
			t.Fatalf("%d records in %d pages of %v with limit %d: %v", got, asked, sizes, limit, err)
		}
	})
	asked := 0
	err := pages("p", 0, func(string, int) (int, string, error) {
		asked++
		return 1, "p", nil
	})
	if err != nil || asked != 1 {
		t.Errorf("a page that continues at itself was asked for %d times, %v", asked, err)
	}
}

// TestPeerTriesOnce: what to do about a peer is its caller's business.
func TestPeerTriesOnce(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		refuse(w, api.Refuse(api.NoLeader, "not me"))
	}))
	defer s.Close()
	p, err := NewPeer(Config{URLs: []string{s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if _, err := p.ReadIndex(context.Background()); api.KindOf(err) != api.NoLeader || asked.Load() != 1 {
		t.Errorf("%v after %d tries", err, asked.Load())
	}
	if _, err := NewPeer(Config{URLs: []string{s.URL, s.URL}}); err == nil {
		t.Error("a peer with two addresses was taken")
	}
}

// TestWriteWithoutLeader: a write that every scheduler refused for want of a leader is known not
// to be done, and the last try is not cut off in the middle; one that may have been done is not
// called refused.
func TestWriteWithoutLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		held := func(err error) error {
			r := pursuit{client: &Client{urls: []string{"https://a"}, config: Config{Log: hclog.NewNullLogger()}}, call: &prepared{call: call{write: true}}, waits: &waits{}}
			bounded, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for tries = 1; ; tries++ {
				r.tried, r.sent = true, true
				if tries > 1 {
					err = api.Refuse(api.NoLeader, "nobody leads")
				}
				if left := time.Until(deadline(bounded)); left < 5*time.Second {
					time.Sleep(left)
					err = &brokenError{context.DeadlineExceeded}
				} else {
					time.Sleep(5 * time.Second)
				}
				r.failures++
				r.listen("https://a", err)
				r.doubt(err, 5*time.Second)
				if !r.again(bounded, "https://a", err) {
					return r.end(t.Context(), bounded, err)
				}
			}
		}
		if err := held(api.Refuse(api.NoLeader, "nobody leads")); api.KindOf(err) != api.NoLeader || tries < 4 {
			t.Errorf("after %d tries: %v", tries, err)
		}
		if err := held(api.Refuse(api.OutcomeUnknown, "it was deposed")); api.KindOf(err) != api.OutcomeUnknown {
			t.Errorf("of one that may have been done: %v", err)
		}
		if err := held(&brokenError{io.ErrUnexpectedEOF}); api.KindOf(err) != api.OutcomeUnknown {
			t.Errorf("of one that broke off: %v", err)
		}
	})
}

func deadline(ctx context.Context) time.Time {
	at, _ := ctx.Deadline()
	return at
}

// TestBadKey: a key that no scheduler takes is refused before anybody is asked.
func TestBadKey(t *testing.T) {
	c := served(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked: %s", r.URL) })
	for _, key := range []string{"a\nb", "a b", "ü", "\x00", strings.Repeat("k", api.MaxKeyLen+1)} {
		o := api.WriteOptions{IdempotencyKey: key}
		if _, err := c.CreateTenant(t.Context(), "acme", o); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%q: %v", key, err)
		}
		if _, err := c.RestoreSnapshot(t.Context(), 5, strings.NewReader("state"), o); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("restore under %q: %v", key, err)
		}
	}
}

// TestBadToken: what cannot be a token is refused before anybody is asked, and at once.
func TestBadToken(t *testing.T) {
	for _, token := range []string{"a\nb", "ü", "a\x00"} {
		c, err := New(Config{URLs: []string{"https://127.0.0.1:1"}, Timeout: time.Minute, Token: func() (string, error) { return token, nil }})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.CreateTenant(t.Context(), "acme", api.WriteOptions{}); api.KindOf(err) != api.Unauthenticated || time.Since(began) > 10*time.Second {
			t.Errorf("%q: %v", token, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
