package leader

import (
	"sync"
	"sync/atomic"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// booking is what a decision takes before the state shows it.
type booking struct {
	first  api.LeaseID // is in the state when the whole decision is
	cell   api.CellID
	tenant api.TenantID
	res    api.Resources
	leases int
	gpu    *api.GPUTerms // which gpus; nil is that res counts them
	idem   fsm.Idem
	// refused says that the state did not take the decision: it holds nothing.
	refused atomic.Bool
	// waiting are repetitions of the request: they are answered when it is.
	waiting []*job
}

// bookings are the decisions in flight. The planner adds, the committers remove.
type bookings struct {
	mu   sync.Mutex
	jobs map[*job]*booking    // guarded by mu, and so is what waits for each
	keys map[idemKey]*booking // guarded by mu: those that have a key
}

type idemKey struct{ scope, key string }

func newBookings() *bookings {
	return &bookings{jobs: map[*job]*booking{}, keys: map[idemKey]*booking{}}
}

func (k *booking) key() (idemKey, bool) {
	return idemKey{k.idem.Scope, k.idem.Key}, k.idem.Key != ""
}

func (b *bookings) add(j *job, k *booking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs[j] = k
	if key, ok := k.key(); ok {
		b.keys[key] = k
	}
}

// remove takes a decision off the list and returns the repetitions that waited for it.
func (b *bookings) remove(j *job, refused bool) []*job {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.jobs[j]
	if !ok {
		return nil
	}
	if refused {
		k.refused.Store(true)
	}
	delete(b.jobs, j)
	if key, ok := k.key(); ok {
		delete(b.keys, key)
	}
	return k.waiting
}

// await lets j wait for a decision in flight that has the same idempotency key; false when
// there is none.
func (b *bookings) await(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.keys[idemKey{j.grant.Idem.Scope, j.grant.Idem.Key}]
	if ok {
		k.waiting = append(k.waiting, j)
	}
	return ok
}

func (b *bookings) list() []*booking {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*booking, 0, len(b.jobs))
	for _, k := range b.jobs {
		list = append(list, k)
	}
	return list
}
