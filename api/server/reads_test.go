package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// get asks for a path as an operator and returns the answer's headers and body.
func get(t *testing.T, n *sched, path string) (http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := raw(t, api.RoleOperator).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header, b
}

// TestIndexOfAnAnswer: the header tells the index of the state that was answered from, not
// the one that the scheduler has come to meanwhile: who blocks with it misses no change.
func TestIndexOfAnAnswer(t *testing.T) {
	n := start(t, nil) // which is at 42
	for _, path := range []string{
		"/api/v1/providers", "/api/v1/providers/aws", "/api/v1/cells", "/api/v1/leases", "/api/v1/leases/l", "/api/v1/runs", "/api/v1/runs/r",
		"/api/v1/tenants", "/api/v1/audit", "/api/v1/operator/schedulers",
	} {
		header, b := get(t, n, path)
		var a struct {
			Index uint64 `json:"index"`
		}
		if err := json.Unmarshal(b, &a); err != nil || a.Index == 0 || a.Index == 42 {
			t.Fatalf("%s: %v, %s", path, err, b)
		}
		if got := header.Get("Grafos-Index"); got != fmt.Sprint(a.Index) {
			t.Errorf("%s: the header says %s, the body %d", path, got, a.Index)
		}
	}
	for path, want := range map[string]string{"/api/v1/operator/node": "42", "/api/v1/nothing": "42", "/livez": "42"} {
		if header, _ := get(t, n, path); header.Get("Grafos-Index") != want {
			t.Errorf("%s: the header says %s, want %s", path, header.Get("Grafos-Index"), want)
		}
	}
	n.fake.err = api.Refuse(api.NotFound, "no such lease").AtIndex(17)
	if header, _ := get(t, n, "/api/v1/leases/l"); header.Get("Grafos-Index") != "17" || header.Get("Grafos-Leader") != "s2" {
		t.Errorf("a refusal: %v", header)
	}
	n.fake.err = api.Refuse(api.NotFound, "no such lease")
	if header, _ := get(t, n, "/api/v1/leases/l"); header.Get("Grafos-Index") != "42" {
		t.Errorf("a refusal without an index: %v", header)
	}
}

// TestReadParams: what a query asks for arrives.
func TestReadParams(t *testing.T) {
	n := start(t, nil)
	for query, want := range map[string]api.ReadOptions{
		"":                                    {},
		"?consistency=stale":                  {Consistency: api.Stale},
		"?max_stale=5s":                       {Consistency: api.Stale, MaxStale: 5 * time.Second},
		"?consistency=stale&max_stale=1500ms": {Consistency: api.Stale, MaxStale: 1500 * time.Millisecond},
		"?index=7&wait=5m":                    {AfterIndex: 7, Wait: 5 * time.Minute},
		"?consistency=linearizable&index=18446744073709551615&wait=1ns": {Consistency: api.Linearizable, AfterIndex: 1<<64 - 1, Wait: 1},
	} {
		get(t, n, "/api/v1/leases"+query)
		if got := n.fake.last().Args[1]; got != want {
			t.Errorf("%q: got %+v, want %+v", query, got, want)
		}
	}
	// The client asks for what it is asked.
	o := api.ReadOptions{Consistency: api.Stale, MaxStale: 5 * time.Second, AfterIndex: 9, Wait: time.Second}
	list, err := dial(t, api.RoleViewer, n).ListCells(t.Context(), "aws", o)
	if err != nil || list.LastContactMs == nil || n.fake.last().Args[1] != o {
		t.Errorf("got %+v, %v; asked %v", list, err, n.fake.last().Args)
	}
}

// TestBodyOfAnotherType tells what a person with curl forgot.
func TestBodyOfAnotherType(t *testing.T) {
	n := start(t, nil)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	_, p := ask(t, raw(t, api.RoleOperator), http.MethodPost, n.url+"/api/v1/leases", []byte(`{}`), form)
	if p.Kind != api.InvalidArgument || !strings.Contains(p.Hint, "Content-Type: application/json") {
		t.Errorf("got %+v", p)
	}
}

// TestStreamsOfOneCaller: one user's streams and blocking reads are bounded, and take the
// room of nobody else, nor that of its other requests.
func TestStreamsOfOneCaller(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxPerCaller = 2 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var open sync.WaitGroup
	stream := func(role api.Role) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := raw(t, role).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		open.Go(func() {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		})
		return resp.StatusCode
	}
	for range 2 {
		if status := stream(api.RoleTenant); status != http.StatusOK {
			t.Fatalf("got %d", status)
		}
	}
	tenant := raw(t, api.RoleTenant)
	for _, path := range []string{"/api/v1/events", "/api/v1/leases?index=1&wait=1s"} {
		status, p := ask(t, tenant, http.MethodGet, n.url+path, nil)
		if status != http.StatusTooManyRequests || p.Kind != api.Overloaded || p.RetryAfterMs == 0 || !strings.Contains(p.Detail, "tenant/acme has 2") {
			t.Errorf("%s: %d %+v", path, status, p)
		}
	}
	if status, p := ask(t, tenant, http.MethodGet, n.url+"/api/v1/leases", nil); status != http.StatusOK {
		t.Errorf("a read that does not block: %d %+v", status, p)
	}
	if status := stream(api.RoleViewer); status != http.StatusOK {
		t.Errorf("another user: %d", status)
	}
	n.fake.hold = true
	for range 3 { // cells are counted by themselves
		watch := dial(t, api.RoleCell, n)
		for _, err := range watch.Watch(ctx, "aws", "aws-1", api.WatchRequest{}) {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	cancel()
	open.Wait()
	// The handlers notice that their readers have left a moment later.
	eventually(t, func() bool {
		status, _ := ask(t, tenant, http.MethodGet, n.url+"/api/v1/leases?index=1&wait=1s", nil)
		return status == http.StatusOK
	})
}

// eventually waits for what another goroutine does next.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !ok() {
		if !sleep(ctx, 5*time.Millisecond) {
			t.Fatal("it did not happen")
		}
	}
}

func TestShare(t *testing.T) {
	s := newShare(2)
	a, err1 := s.take("a")
	_, err2 := s.take("a")
	if _, err := s.take("a"); err1 != nil || err2 != nil || api.KindOf(err) != api.Overloaded {
		t.Errorf("got %v, %v and %v", err1, err2, err)
	}
	b, err := s.take("b")
	if err != nil {
		t.Error(err)
	}
	a()
	b()
	if _, err := s.take("a"); err != nil || len(s.held) != 1 {
		t.Errorf("after one was given back: %v, held %v", err, s.held)
	}
}

// TestBookmarksOfStreams: lines have them for who asks, server-sent events always, as an id
// without data, which changes nothing but where a browser continues.
func TestBookmarksOfStreams(t *testing.T) {
	n := start(t, nil)
	mark := api.Event{Cursor: api.EndOf(9), Type: api.EventBookmark}
	n.fake.events = []api.Event{mark}
	for _, tt := range []struct {
		query, accept string
		asked         bool
		want          string
	}{
		{"", ndjson, false, ""},
		{"?bookmarks=false", ndjson, false, ""},
		{"?bookmarks=true", ndjson, true, `{"cursor":"9.4294967295","type":"bookmark","time":"0001-01-01T00:00:00Z"}`},
		{"?from=oldest", eventStreamType, true, "id: 9.4294967295"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/api/v1/events"+tt.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", tt.accept)
		resp, err := raw(t, api.RoleViewer).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(resp.Body)
		for in.Scan() && (in.Text() == "" || strings.HasPrefix(in.Text(), ":")) {
			continue // what says that the stream lives
		}
		if f, ok := n.fake.last().Args[0].(api.EventFilter); !ok || f.Bookmarks != tt.asked {
			t.Errorf("%q, %s: the service was asked %+v", tt.query, tt.accept, f)
		}
		if tt.want != "" && in.Text() != tt.want {
			t.Errorf("%q, %s: got %q, want %q", tt.query, tt.accept, in.Text(), tt.want)
		}
		if tt.accept == eventStreamType && (!in.Scan() || in.Text() != "") {
			t.Errorf("the bookmark goes on with %q", in.Text())
		}
		cancel()
		_ = resp.Body.Close()
	}
}

// endless yields events of a size until its reader leaves, and says so.
type endless struct {
	*fake
	left chan struct{}
}

func (e *endless) Events(_ context.Context, _ api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		defer close(e.left)
		data, _ := json.Marshal(strings.Repeat("x", 4096))
		for i := uint64(1); ; i++ {
			if !yield(api.Event{Cursor: api.Cursor{Index: i}, Type: "lease_granted", Data: data}, nil) {
				return
			}
		}
	}
}

// TestSlowReaderIsCut: a reader that takes nothing is cut off, in either protocol and either
// form, and its stream ends. It finds the connection broken, never an end that looks whole.
func TestSlowReaderIsCut(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		for _, accept := range []string{ndjson, eventStreamType} {
			t.Run(proto+" "+accept, func(t *testing.T) {
				service := &endless{left: make(chan struct{})}
				var said safeBuffer
				n := start(t, func(c *Config) {
					c.SlowReader = 200 * time.Millisecond
					service.fake, _ = c.Services.(*fake)
					c.Services = service
					c.Log = hclog.New(&hclog.LoggerOptions{Output: &said})
				})
				conf := clientTLS(t, api.RoleViewer)
				conf.NextProtos = []string{proto}
				tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: proto == "h2"}
				t.Cleanup(tr.CloseIdleConnections)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+"/api/v1/events", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept", accept)
				resp, err := (&http.Client{Transport: tr}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				select {
				case <-service.left:
				case <-time.After(20 * time.Second):
					t.Fatal("the stream still waits for its reader")
				}
				if _, err := io.Copy(io.Discard, resp.Body); err == nil {
					t.Error("what is left of the stream ends as if it were whole")
				}
				eventually(t, func() bool { return strings.Contains(said.String(), "reader cut off") })
			})
		}
	}
}

// safeBuffer is a buffer that a log may write while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
