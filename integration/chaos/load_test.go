package chaos

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/history"
)

const (
	tenantFree = "free" // has no quota
	// quotaLeases is the quota of the others: fewer than their lessors ask for.
	quotaLeases = 3

	lessors = 4
	readers = 2
	// callTime bounds a client's call, so that it hears of trouble and repeats; patience bounds
	// the repetitions.
	callTime = 4 * time.Second
	patience = time.Minute
)

// load is concurrent clients that use a cluster, and remember every answer.
type load struct {
	t      *testing.T
	fleet  *fleet.Fleet
	book   *book
	record *history.Recorder
	data   *http.Client
	events *follower

	mu     sync.Mutex
	quota  api.TenantID  // guarded by mu: the tenant with a quota, of the moment
	recent []api.LeaseID // guarded by mu: what readers look at, the newest last
}

func newLoad(t *testing.T, f *fleet.Fleet) *load {
	t.Helper()
	l := &load{
		t: t, fleet: f, book: newBook(), record: history.NewRecorder(), data: f.DataPlane(2 * time.Second),
	}
	l.events = newFollower(l)
	return l
}

// client returns a client of all schedulers that begins with the i-th, or of one alone.
func (l *load) client(i int, alone bool, timeout time.Duration) *client.Client {
	l.t.Helper()
	urls := l.fleet.URLs()
	urls = append(urls[i%len(urls):], urls[:i%len(urls)]...)
	if alone {
		urls = urls[:1]
	}
	c, err := l.fleet.Client(timeout, urls...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return c
}

// start runs the clients; stop lets each finish what it does and returns when all have. The
// follower goes on until ctx ends.
func (l *load) start(ctx context.Context) (stop func()) {
	var wg sync.WaitGroup
	stopping := make(chan struct{})
	loop := func(do func()) {
		wg.Go(func() {
			for {
				select {
				case <-stopping:
					return
				default:
					do()
				}
			}
		})
	}
	for i := range lessors {
		one := &lessor{load: l, id: i, quota: i%2 == 1, client: l.client(i, false, callTime)}
		loop(func() { one.lease(ctx) })
	}
	for i := range readers {
		one := newReader(l, lessors+i)
		loop(func() { one.read(ctx) })
	}
	return sync.OnceFunc(func() {
		close(stopping)
		wg.Wait()
	})
}

// seen makes leases known to the readers.
func (l *load) seen(ids ...api.LeaseID) {
	const most = 24
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = append(l.recent, ids...)
	l.recent = l.recent[max(0, len(l.recent)-most):]
}

// any returns a recent lease; "" is none.
func (l *load) any() api.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) == 0 {
		return ""
	}
	return l.recent[rand.IntN(len(l.recent))]
}

// limit makes a new tenant with a quota the one that the lessors act for.
func (l *load) limit(ctx context.Context, c *client.Client, tenant api.TenantID) error {
	if _, err := c.CreateTenant(ctx, tenant, api.WriteOptions{}); err != nil {
		return err
	}
	q := api.NoQuota()
	q.Leases = quotaLeases
	if _, err := c.SetQuota(ctx, tenant, q, api.WriteOptions{}); err != nil {
		return err
	}
	l.book.mu.Lock()
	l.book.quotas[tenant] = quotaLeases
	l.book.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota = tenant
	return nil
}

func (l *load) limited() api.TenantID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota
}
