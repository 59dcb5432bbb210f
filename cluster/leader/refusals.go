package leader

import (
	"cmp"
	"slices"
	"sync"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// refusals counts refused admissions for the audit chain, coalesced a tenant, kind and
// second so that somebody who is refused cannot fill the chain.
type refusals struct {
	mu     sync.Mutex
	counts map[fsm.Refusal]int // guarded by mu; Count is zero in the key
}

// maxRefusals bounds the different refusals of one second: what one command takes.
const maxRefusals = fsm.MaxRefusals

func newRefusals() *refusals { return &refusals{counts: map[fsm.Refusal]int{}} }

// note counts a refusal of admission; other kinds of answer are none.
func (r *refusals) note(tenant api.TenantID, kind api.Kind, provider api.ProviderID) {
	switch kind { //nolint:exhaustive // the four of spec.md 4
	case api.RuntimeNotReady, api.NoEligibleProviderCells, api.PlacementFailed, api.QuotaExceeded:
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := fsm.Refusal{Tenant: tenant, Kind: kind, Provider: provider}
	if _, known := r.counts[k]; known || len(r.counts) < maxRefusals {
		r.counts[k]++
	}
}

// putBack counts again what could not be committed.
func (r *refusals) putBack(list []fsm.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range list {
		n := k.Count
		k.Count = 0
		r.counts[k] += n
	}
}

// take returns what was counted since the last call, in a fixed order.
func (r *refusals) take() []fsm.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []fsm.Refusal
	for k, n := range r.counts {
		k.Count = n
		out = append(out, k)
	}
	clear(r.counts)
	slices.SortFunc(out, func(a, b fsm.Refusal) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Provider, b.Provider))
	})
	return out
}
