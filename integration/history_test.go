package integration

import (
	"fmt"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// history is what the clients were told: the evidence that the state is held against.
type history struct {
	mu       sync.Mutex
	grants   map[string][]api.LeaseID // by idempotency key: acknowledged
	runs     map[api.RunID]api.Run    // as they were first seen with their result
	refusals map[api.Kind]int
	faults   []string
	// acked is closed and replaced at every acknowledged grant.
	acked chan struct{}
}

func newHistory() *history {
	return &history{
		grants: map[string][]api.LeaseID{}, runs: map[api.RunID]api.Run{}, refusals: map[api.Kind]int{}, acked: make(chan struct{}),
	}
}

func (h *history) granted(key string, set *api.GrantSet) {
	var ids []api.LeaseID
	for _, l := range set.Leases {
		ids = append(ids, l.ID)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.grants[key]; ok && fmt.Sprint(before) != fmt.Sprint(ids) {
		h.faults = append(h.faults, fmt.Sprintf("L5: key %s was answered with %v and with %v", key, before, ids))
	}
	h.grants[key] = ids
	close(h.acked)
	h.acked = make(chan struct{})
}

func (h *history) finished(r api.Run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs[r.ID] = r
}

func (h *history) refused(k api.Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusals[k]++
}

func (h *history) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// next is closed at the next acknowledged grant.
func (h *history) next() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked
}
