package history

import (
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/grafos/grafos/api"
)

// Recorder is the history of one run. It is safe for concurrent use.
type Recorder struct {
	began time.Time

	mu     sync.Mutex
	leases []porcupine.Operation // guarded by mu
	quotas []porcupine.Operation // guarded by mu
	reads  []reading             // guarded by mu
}

// NewRecorder begins a history.
func NewRecorder() *Recorder { return &Recorder{began: time.Now()} }

// forever is the return of what was never answered.
const forever = math.MaxInt64

// Call is an operation that a client has begun.
type Call struct {
	r      *Recorder
	client int
	at     int64
}

// Begin notes that a client, a small number, calls now.
func (r *Recorder) Begin(client int) Call { return Call{r: r, client: client, at: r.now()} }

func (r *Recorder) now() int64 { return int64(time.Since(r.began)) }

// Granted ends a grant, of one lease of its answer.
func (c Call) Granted(l api.Lease) { c.lease(leaseIn{granted, l.ID}, seen(l), c.r.now()) }

// Renewed ends a renewal.
func (c Call) Renewed(l api.Lease) { c.lease(leaseIn{renewed, l.ID}, seen(l), c.r.now()) }

// Ended ends a free or revoke.
func (c Call) Ended(l api.Lease) { c.lease(leaseIn{ended, l.ID}, seen(l), c.r.now()) }

// MaybeRenewed leaves a renewal open: it may have happened, or yet happen.
func (c Call) MaybeRenewed(id api.LeaseID) { c.lease(leaseIn{renewed, id}, leaseOut{}, forever) }

// MaybeEnded leaves a free or revoke open.
func (c Call) MaybeEnded(id api.LeaseID) { c.lease(leaseIn{ended, id}, leaseOut{}, forever) }

// Read ends a verified read that found the lease.
func (c Call) Read(l api.Lease) { c.lease(leaseIn{read, l.ID}, seen(l), c.r.now()) }

// NotFound ends a verified read that did not.
func (c Call) NotFound(id api.LeaseID) {
	c.lease(leaseIn{read, id}, leaseOut{known: true}, c.r.now())
}

func (c Call) lease(in leaseIn, out leaseOut, returned int64) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.leases = append(c.r.leases, porcupine.Operation{ClientId: c.client, Input: in, Call: c.at, Output: out, Return: returned})
}

// Took ends a grant of n leases to a tenant with a quota.
func (c Call) Took(t api.TenantID, quota, n int) {
	c.r.quota(c.client, quotaIn{t, quota, n}, c.at, c.r.now())
}

// Gave records that a lease of a tenant ended, not before the one time and, unless it is
// zero, not after the other.
func (r *Recorder) Gave(t api.TenantID, quota int, first, last time.Time) {
	returned := int64(forever)
	if !last.IsZero() {
		returned = int64(last.Sub(r.began))
	}
	r.quota(0, quotaIn{t, quota, -1}, int64(first.Sub(r.began)), returned)
}

func (r *Recorder) quota(client int, in quotaIn, call, returned int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quotas = append(r.quotas, porcupine.Operation{ClientId: client, Input: in, Call: call, Return: returned})
}

// Saw notes a read of any consistency: at which index a scheduler said what of a lease.
// process names the scheduler and its start: one that starts again may go back.
func (c Call) Saw(process string, index uint64, l api.Lease) {
	now := c.r.now()
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.reads = append(c.r.reads, reading{process, c.at, now, index, l})
}

// Operations counts what was recorded.
func (r *Recorder) Operations() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.leases) + len(r.quotas) + len(r.reads)
}
