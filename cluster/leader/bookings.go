package leader

import (
	"sync"

	"github.com/grafos/grafos/api"
)

// booking is what a decision takes before the state shows it.
type booking struct {
	first  api.LeaseID // is in the state when the whole decision is
	cell   api.CellID
	tenant api.TenantID
	res    api.Resources
	leases int
}

// bookings are the decisions in flight. The planner adds, the committers remove.
type bookings struct {
	mu   *sync.Mutex
	jobs map[*job]booking
}

func newBookings() bookings {
	return bookings{mu: new(sync.Mutex), jobs: map[*job]booking{}}
}

func (b bookings) add(j *job, k booking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs[j] = k
}

func (b bookings) remove(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.jobs, j)
}

func (b bookings) each(visit func(booking)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.jobs {
		visit(k)
	}
}
