package integration

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/harness"
)

// TestExactlyOnceAndReads: three times the leader is killed while every request is made twice
// at once, through two schedulers, and a batch is under way. Every key has one answer, before,
// during and after, at every scheduler; and every reader of the events, whichever scheduler it
// began at, got the same events, each once, none missing.
func TestExactlyOnceAndReads(t *testing.T) {
	c := &twice{Cluster: up(t, 1), grants: map[string]api.GrantSet{}}
	c.connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	readers := c.watch(ctx, t)

	for round := range 3 {
		c.round(ctx, t, round)
	}
	last := c.ask(ctx, t, 0, "last")
	for _, r := range readers {
		r.check(ctx, t, c, last.Leases[0].ID)
	}
	c.again(ctx, t)
	c.reads(ctx, t, last)
}

// again repeats requests at every scheduler: each answer is the first one, with a token that
// its cell minted anew.
func (c *twice) again(ctx context.Context, t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	for key, first := range maps.Clone(c.grants) {
		for i := range c.clients {
			wg.Go(func() {
				again := c.ask(ctx, t, i, key).Leases[0]
				if again.ID != first.Leases[0].ID || again.Epoch != first.Leases[0].Epoch || again.Token == "" || again.Token == first.Leases[0].Token {
					t.Errorf("key %s: %s, and again at scheduler %d %s", key, first.Leases[0].ID, i, again.ID)
				}
			})
		}
	}
	wg.Wait()
}

// twice is a cluster with a client for each scheduler, that scheduler first.
type twice struct {
	*harness.Cluster
	urls    []string
	clients []*client.Client

	mu     sync.Mutex
	grants map[string]api.GrantSet // by key
}

func (c *twice) connect(t *testing.T) {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.Schedulers {
		c.urls = append(c.urls, n.URL)
	}
	for i := range c.urls {
		cl, err := c.Client(t.Context(), time.Minute, c.from(i)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cl.Close() })
		c.clients = append(c.clients, cl)
	}
}

// from are the addresses, the i-th first.
func (c *twice) from(i int) []string { return append(append([]string{}, c.urls[i:]...), c.urls[:i]...) }

// ask makes one request under a key through the i-th scheduler, and holds its answer against
// those that the key had before.
func (c *twice) ask(ctx context.Context, t *testing.T, i int, key string) api.GrantSet {
	t.Helper()
	r := api.LeaseRequest{Provider: "local", Tenant: "dev", Resources: api.Resources{Mem: 1 << 16}, TTLMs: 300_000}
	set, err := c.clients[i].RequestLeases(ctx, r, api.WriteOptions{IdempotencyKey: key})
	if err != nil {
		t.Errorf("key %s at scheduler %d: %v", key, i, err)
		return api.GrantSet{Leases: make([]api.Grant, 1)}
	}
	c.note(t, key, *set)
	return *set
}

func (c *twice) note(t *testing.T, key string, set api.GrantSet) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.grants[key]; ok && first.Leases[0].ID != set.Leases[0].ID {
		t.Errorf("key %s was answered with %s and with %s", key, first.Leases[0].ID, set.Leases[0].ID)
	}
	c.grants[key] = set
}

// round makes requests, each twice at once, and kills the leader in the middle of it.
func (c *twice) round(ctx context.Context, t *testing.T, round int) {
	t.Helper()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 24 {
		for at := range 2 {
			wg.Go(func() { c.ask(ctx, t, (i+at)%len(c.clients), fmt.Sprintf("k-%d-%d", round, i)) })
		}
	}
	for at := range 2 {
		wg.Go(func() { c.batch(ctx, t, (round+at)%len(c.clients), fmt.Sprint("b-", round)) })
	}
	if err := harness.Pause(ctx, time.Duration(round)*4*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(ctx, leader.Name); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := c.Restart(ctx, leader.Name); err != nil {
		t.Fatal(err)
	}
}

// batch asks for 32 leases at once; each of them has a key of its own.
func (c *twice) batch(ctx context.Context, t *testing.T, i int, key string) {
	t.Helper()
	var r api.BatchRequest
	for range 32 {
		r.Requests = append(r.Requests, api.BatchItem{LeaseRequest: api.LeaseRequest{
			Provider: "local", Tenant: "dev", Resources: api.Resources{Mem: 1 << 16}, TTLMs: 300_000,
		}})
	}
	a, err := c.clients[i].RequestBatch(ctx, r, api.WriteOptions{IdempotencyKey: key})
	if err != nil {
		t.Errorf("batch %s at scheduler %d: %v", key, i, err)
		return
	}
	for n, res := range a.Answers {
		if res.Grant == nil {
			t.Errorf("batch %s at scheduler %d, request %d: %v", key, i, n, res.Problem)
			continue
		}
		c.note(t, res.IdempotencyKey, *res.Grant)
	}
}

// eventReader reads the events from now on, first at one of the schedulers.
type eventReader struct {
	name   string
	events chan api.Event
	client *client.Client
}

// watch begins a reader at each scheduler; one of them, the first, has a filter.
func (c *twice) watch(ctx context.Context, t *testing.T) []*eventReader {
	t.Helper()
	readers := make([]*eventReader, 0, len(c.urls))
	for i := range c.urls {
		cl, err := c.Client(ctx, time.Minute, c.from(i)...)
		if err != nil {
			t.Fatal(err)
		}
		r := &eventReader{name: fmt.Sprint("reader ", i), events: make(chan api.Event, 1<<14), client: cl}
		began := make(chan struct{})
		go r.read(ctx, i == 0, began)
		<-began
		readers = append(readers, r)
	}
	return readers
}

func (r *eventReader) read(ctx context.Context, narrow bool, began chan struct{}) {
	defer close(r.events)
	defer func() { _ = r.client.Close() }()
	f := api.EventFilter{From: api.FromNow, Bookmarks: true}
	if narrow {
		f.Types = []string{"lease_granted"}
	}
	first := true
	for e, err := range r.client.Events(ctx, f) {
		if err != nil {
			r.events <- api.Event{Type: "failed: " + err.Error()}
			return
		}
		if first {
			close(began)
			first = false
		}
		r.events <- e
	}
}

// check reads until the grant of a lease came, and holds what came against what was granted.
func (r *eventReader) check(ctx context.Context, t *testing.T, c *twice, last api.LeaseID) {
	t.Helper()
	granted := map[api.LeaseID]int{}
	var at api.Cursor
	resumed, n := 0, 0
	for done := false; !done; {
		var e api.Event
		select {
		case e = <-r.events:
		case <-ctx.Done():
			t.Fatalf("%s: the grant of %s did not come; the newest event is at %s", r.name, last, at)
		}
		switch e.Type {
		case api.EventResumed:
			resumed++
			continue
		case api.EventBookmark:
			if e.Cursor.Before(at) {
				t.Errorf("%s: a bookmark at %s behind %s", r.name, e.Cursor, at)
			}
		case api.EventGap, "":
			t.Fatalf("%s: %+v", r.name, e)
		case "lease_granted":
			granted[e.LeaseID]++
			done = e.LeaseID == last
		}
		if e.Type != api.EventBookmark {
			if n++; !at.Before(e.Cursor) {
				t.Errorf("%s: %s %s came after %s", r.name, e.Type, e.Cursor, at)
			}
		}
		at = e.Cursor
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, set := range c.grants {
		if times := granted[set.Leases[0].ID]; times != 1 {
			t.Errorf("%s: the grant of %s (key %s) came %d times", r.name, set.Leases[0].ID, key, times)
		}
	}
	if len(granted) != len(c.grants) {
		t.Errorf("%s: %d grants came, %d were answered", r.name, len(granted), len(c.grants))
	}
	t.Logf("%s: %d events, resumed %d times", r.name, n, resumed)
}

// reads: what was acknowledged at one scheduler is read at every other, also by a read that
// blocks behind an index which it may not have come to; a stale read says how old it is.
func (c *twice) reads(ctx context.Context, t *testing.T, last api.GrantSet) {
	t.Helper()
	set := last
	for round := range 5 {
		set = c.ask(ctx, t, round%len(c.clients), fmt.Sprint("read-", round))
		for i, url := range c.urls {
			one, err := c.Client(ctx, 10*time.Second, url)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := one.ShowLease(ctx, set.Leases[0].ID, api.ReadOptions{}); err != nil || a.Index < set.Index || a.LastContactMs != nil {
				t.Errorf("scheduler %d: %+v, %v", i, a, err)
			}
			o := api.ReadOptions{AfterIndex: set.Index - 1, Wait: time.Minute}
			if list, err := one.ListLeases(ctx, api.LeaseFilter{Tenant: "dev"}, o); err != nil || list.Index < set.Index {
				t.Errorf("scheduler %d behind index %d: %+v, %v", i, o.AfterIndex, list, err)
			}
			stale := api.ReadOptions{Consistency: api.Stale}
			if list, err := one.ListCells(ctx, "", stale); err != nil || list.LastContactMs == nil {
				t.Errorf("scheduler %d, stale: %+v, %v", i, list, err)
			}
			if list, err := one.ListLeases(ctx, api.LeaseFilter{}, stale); err != nil || list.LastContactMs == nil {
				t.Errorf("scheduler %d, stale: %+v, %v", i, list, err)
			}
			_ = one.Close()
		}
	}
}
