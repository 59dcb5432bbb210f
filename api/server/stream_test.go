package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

func TestWatch(t *testing.T) {
	n := start(t, nil)
	c := dial(t, api.RoleCell, n)
	req := api.WatchRequest{Epoch: 3, After: 1 << 60, Standby: true, NoEcho: true}
	var got []api.Desired
	var last error
	for d, err := range c.Watch(t.Context(), "aws", "aws-1", req) {
		if err != nil {
			last = err
			continue
		}
		got = append(got, d)
	}
	want := filled[api.Desired]()
	if diff := cmp.Diff([]api.Desired{want, want, want}, got); diff != "" {
		t.Error(diff)
	}
	if api.KindOf(last) != api.IdentityRevoked {
		t.Errorf("the session ended with %v, want identity_revoked", last)
	}
	if diff := cmp.Diff([]any{api.ProviderID("aws"), api.CellID("aws-1"), req}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	// A refusal that comes at once has its own status.
	n.fake.err = api.Refuse(api.StaleEpoch, "epoch 3 is over")
	if status, p := ask(t, raw(t, api.RoleCell), http.MethodGet, n.url+"/api/v1/cells/aws-1/watch", nil); status != 403 || p.Kind != api.StaleEpoch {
		t.Errorf("%d %+v", status, p)
	}
}

// TestWatchBreaks: a scheduler that dies ends the session with an error.
func TestWatchBreaks(t *testing.T) {
	n := start(t, nil)
	n.fake.hold = true
	var last error
	for _, err := range dial(t, api.RoleCell, n).Watch(t.Context(), "aws", "aws-1", api.WatchRequest{}) {
		if last = err; err == nil {
			_ = n.server.Close() // the connection breaks before the stream ends
		}
	}
	if api.KindOf(last) != api.NoLeader {
		t.Errorf("got %v, want no_leader", last)
	}
}

func someEvents(from, to uint64) []api.Event {
	var es []api.Event
	for i := from; i <= to; i++ {
		es = append(es, api.Event{Cursor: api.Cursor{Index: i, Sub: uint32(i % 3)}, Type: "lease_granted", Data: json.RawMessage(`{"n":1}`)})
	}
	return es
}

// TestEventsAcrossFailOver: the stream goes on at the other scheduler, after the last event,
// without a gap and without a repetition.
func TestEventsAcrossFailOver(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	first.fake.events, second.fake.events = someEvents(1, 5), someEvents(1, 9)
	c := dial(t, api.RoleViewer, first, second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []api.Event
	for e, err := range c.Events(ctx, api.EventFilter{Types: []string{"lease", "cell"}, Provider: "aws", Tenant: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
		switch len(got) {
		case 5:
			first.kill()
		case 9:
			cancel()
		}
	}
	if diff := cmp.Diff(someEvents(1, 9), got); diff != "" {
		t.Error(diff)
	}
	want := api.EventFilter{From: "5.2", Types: []string{"lease", "cell"}, Provider: "aws", Tenant: "acme", Bookmarks: true}
	if diff := cmp.Diff([]any{want}, second.fake.last().Args); diff != "" {
		t.Error(diff)
	}
}

func TestEventsRefused(t *testing.T) {
	n := start(t, nil)
	n.fake.err = api.Refuse(api.Forbidden, "not yours")
	for _, err := range dial(t, api.RoleViewer, n).Events(t.Context(), api.EventFilter{}) {
		if api.KindOf(err) != api.Forbidden {
			t.Errorf("got %v", err)
		}
	}
}

// TestSSE reads server-sent events as a browser gets them.
func TestSSE(t *testing.T) {
	n := start(t, nil)
	n.fake.events = append(someEvents(7, 8), api.Event{Cursor: api.Cursor{Index: 20}, Type: api.EventGap})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/api/v1/events?from=now", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", "7.1")
	resp, err := raw(t, api.RoleViewer).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" || resp.Header.Get("Grafos-Index") != "42" {
		t.Errorf("headers %v", resp.Header)
	}
	var lines []string
	for in := bufio.NewScanner(resp.Body); len(lines) < 9 && in.Scan(); {
		lines = append(lines, in.Text())
	}
	data8, _ := json.Marshal(n.fake.events[1])
	gap, _ := json.Marshal(n.fake.events[2])
	want := []string{": ka", "", "id: 8.2", "data: " + string(data8), "", "id: 20.0", "event: gap", "data: " + string(gap), ""}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if f, ok := n.fake.last().Args[0].(api.EventFilter); !ok || f.From != "7.1" {
		t.Errorf("the service was asked from %q: Last-Event-ID goes first", f.From)
	}
}

// TestStreamKeepsAlive: a silent stream begins without waiting for its first message, and
// says that it lives.
func TestStreamKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		out := &memory{}
		time.AfterFunc(26*time.Second, cancel)
		if err := stream(ctx, cancel, silent(ctx), out, 5*time.Second); err != nil || out.begun != 1 || out.kept != 5 {
			t.Errorf("stream = %v, begun %d times, alive %d times; want nil, 1, 5", err, out.begun, out.kept)
		}
	})
}

// silent yields nothing until ctx ends.
func silent(ctx context.Context) iter.Seq2[int, error] {
	return func(func(int, error) bool) { <-ctx.Done() }
}

// TestStreamPanics: a service that panics ends its stream with internal, and nothing else.
func TestStreamPanics(t *testing.T) {
	out := &memory{}
	ctx, cancel := context.WithCancel(t.Context())
	err := stream(ctx, cancel, func(yield func(int, error) bool) {
		yield(1, nil)
		panic("oops")
	}, out, time.Second)
	if err != nil || len(out.sent) != 1 || out.failed == nil || out.failed.Kind != api.Internal {
		t.Errorf("stream = %v, sent %v, failed %v", err, out.sent, out.failed)
	}
}

// memory is a sender that remembers.
type memory struct {
	begun  int
	sent   []int
	failed *problem
	kept   int
}

func (m *memory) begin() error {
	m.begun++
	return nil
}

func (m *memory) send(v int) error {
	m.sent = append(m.sent, v)
	return nil
}

func (m *memory) fail(p *problem) error {
	m.failed = p
	return nil
}

func (m *memory) keepAlive() error {
	m.kept++
	return nil
}

func (m *memory) flush() error { return nil }

// TestNDJSONEvents reads lines as curl gets them.
func TestNDJSONEvents(t *testing.T) {
	n := start(t, nil)
	n.fake.events = someEvents(1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := raw(t, api.RoleViewer).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	in := bufio.NewReader(resp.Body)
	var lines []string
	for range 3 {
		line, err := in.ReadString('\n')
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	if lines[0] != "" || !strings.HasPrefix(lines[1], `{"cursor":"1.1"`) || !strings.HasPrefix(lines[2], `{"cursor":"2.2"`) {
		t.Errorf("lines %q", lines)
	}
}
