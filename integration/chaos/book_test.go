package chaos

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/history"
)

// book is what the clients were told: the evidence that the state is held against.
type book struct {
	mu       sync.Mutex
	grants   map[string][]api.LeaseID    // by idempotency key: acknowledged
	quotas   map[api.TenantID]int64      // of leases
	holdings []holding                   // of tenants with a quota
	acks     []time.Time                 // of acknowledged grants, in order
	errors   map[string]map[api.Kind]int // by fault: what clients were given, refusals by quota apart
	phase    string
	faults   []string
}

// holding is one lease of a tenant with a quota.
type holding struct {
	id     api.LeaseID
	tenant api.TenantID
	asked  time.Time // when its grant was first asked for
	ttl    time.Duration
	freed  time.Time // when its end was first asked for; zero is never
}

func newBook() *book {
	return &book{grants: map[string][]api.LeaseID{}, quotas: map[api.TenantID]int64{}, errors: map[string]map[api.Kind]int{}}
}

// granted notes an acknowledged grant, once for every time that it was acknowledged.
func (b *book) granted(key string, set *api.GrantSet) {
	var ids []api.LeaseID
	for _, l := range set.Leases {
		ids = append(ids, l.ID)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, ok := b.grants[key]; ok && !slices.Equal(before, ids) {
		b.faultLocked("L5: key %s was answered with %v and with %v", key, before, ids)
	}
	b.grants[key] = ids
	b.acks = append(b.acks, time.Now())
}

func (b *book) hold(h holding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holdings = append(b.holdings, h)
}

// failed counts an error that a client was given, under the fault of the moment.
func (b *book) failed(k api.Kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.errors[b.phase] == nil {
		b.errors[b.phase] = map[api.Kind]int{}
	}
	b.errors[b.phase][k]++
}

func (b *book) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faultLocked(format, args...)
}

func (b *book) faultLocked(format string, args ...any) {
	b.faults = append(b.faults, time.Now().Format("15:04:05.000 ")+b.phase+": "+fmt.Sprintf(format, args...))
}

// broken returns the faults so far.
func (b *book) broken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

// enter says which fault errors are counted under from now on.
func (b *book) enter(phase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.phase = phase
}

// ackedBetween returns how many grants were acknowledged between two times, and the longest
// time without one.
func (b *book) ackedBetween(from, to time.Time) (n int, gap time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearchFunc(b.acks, from, time.Time.Compare)
	last := from
	for _, at := range b.acks[i:] {
		if at.After(to) {
			break
		}
		gap = max(gap, at.Sub(last))
		last = at
		n++
	}
	return n, max(gap, to.Sub(last))
}

// end writes the ends of the quota tenants' leases into the history, as far as they are
// known: never before they could have come, and not after the event that told of them.
func (b *book) end(r *history.Recorder, there map[api.LeaseID]api.Lease, told map[api.LeaseID]time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.holdings {
		first := h.asked // a cell that restarts ends its leases at any time
		switch there[h.id].Reason {
		case "released", "revoked":
			if !h.freed.IsZero() {
				first = h.freed
			}
		case "expired":
			first = h.asked.Add(h.ttl)
		}
		r.Gave(h.tenant, int(b.quotas[h.tenant]), first, told[h.id])
	}
}
