package chaos

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/promises"
)

// follower follows the event stream, across every fail-over.
type follower struct {
	*load
	client *client.Client

	mu     sync.Mutex
	last   api.Cursor                // guarded by mu
	counts map[string]int            // guarded by mu: events by type and lease
	ended  map[api.LeaseID]time.Time // guarded by mu: when the end of a lease was told
	gaps   int                       // guarded by mu
}

func newFollower(l *load) *follower {
	return &follower{load: l, client: l.client(0, false, patience), counts: map[string]int{}, ended: map[api.LeaseID]time.Time{}}
}

// follow follows until ctx ends.
func (f *follower) follow(ctx context.Context) {
	for e, err := range f.client.Events(ctx, api.EventFilter{From: "0"}) {
		if err != nil {
			if ctx.Err() == nil {
				f.book.fault("event stream after %s: %v", f.cursor(), err)
			}
			return
		}
		f.take(e)
	}
	if ctx.Err() == nil {
		f.book.fault("event stream ended after %s", f.cursor())
	}
}

func (f *follower) take(e api.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.last.Before(e.Cursor) && e.Type != api.EventGap {
		f.book.fault("event %s %s came after %s", e.Cursor, e.Type, f.last)
	}
	f.last = e.Cursor
	switch e.Type {
	case api.EventGap:
		f.gaps++
		return
	case "lease_torndown", "lease_failed_closed", "lease_fenced":
		f.ended[e.LeaseID] = time.Now()
	}
	f.counts[e.Type+" "+string(e.LeaseID)]++
}

func (f *follower) cursor() api.Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// check holds the stream against the audit chain: every record about a lease was told once.
// A gap that was said is honest; it only makes the comparison impossible.
func (f *follower) check(chain []api.AuditRecord) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gaps > 0 {
		return []string{"the event stream had gaps"}
	}
	var faults []string
	recorded := map[string]int{}
	for _, r := range chain {
		fact, err := promises.FactOf(r)
		if err != nil {
			return []string{err.Error()}
		}
		if strings.HasPrefix(r.Kind, "lease_") {
			recorded[r.Kind+" "+string(fact.Lease)]++
		}
	}
	for what, n := range recorded {
		if f.counts[what] != n {
			faults = append(faults, "events: "+what+" is in the chain and not in the stream as often")
		}
	}
	return faults
}

// endings returns when the end of each lease was told.
func (f *follower) endings() map[api.LeaseID]time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.ended)
}
