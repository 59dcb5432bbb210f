package cellagent

import (
	"container/heap"
	"context"
	"fmt"
	"time"

	"github.com/grafos/grafos/api/mutant"
)

// deadlines is a heap of holdings, earliest deadline first.
type deadlines []*holding

// Len is for container/heap, as are the others.
func (d *deadlines) Len() int { return len(*d) }

// Less orders by deadline.
func (d *deadlines) Less(i, j int) bool { return (*d)[i].deadline < (*d)[j].deadline }

// Swap keeps each holding's slot.
func (d *deadlines) Swap(i, j int) {
	h := *d
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push appends.
func (d *deadlines) Push(x any) {
	h, ok := x.(*holding)
	if !ok {
		panic(fmt.Sprintf("push %T on the heap of deadlines", x))
	}
	h.slot = len(*d)
	*d = append(*d, h)
}

// Pop takes the last.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	h := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	h.slot = -1
	return h
}

// schedule puts a holding at its deadline in the heap.
func (k *keeper) schedule(h *holding) {
	if h.slot >= 0 {
		heap.Fix(&k.due, h.slot)
	} else {
		heap.Push(&k.due, h)
	}
	if h.slot == 0 {
		select {
		case k.kick <- struct{}{}:
		default:
		}
	}
}

// unschedule takes a holding out of the heap.
func (k *keeper) unschedule(h *holding) {
	if h.slot >= 0 {
		heap.Remove(&k.due, h.slot)
	}
}

// expire ends leases at their deadlines until ctx ends, whoever can be reached (C3). life is
// the context of what it starts.
func (k *keeper) expire(ctx, life context.Context, alarm Alarm) {
	for {
		if err := alarm.Set(k.endDue(life)); err != nil {
			// Without its timer the cell cannot keep its word: better dead than late. The
			// workers' own kernel timers end the runs.
			panic(fmt.Sprintf("arm the expiry timer: %v", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-alarm.C():
		case <-k.kick:
		}
	}
}

// endDue begins the teardown of every lease whose time is up, and returns the next deadline;
// zero is none.
func (k *keeper) endDue(life context.Context) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, ended, late := k.clock.Now(), 0, int64(0)
	next := int64(0)
	for len(k.due) > 0 {
		h := k.due[0]
		ends := h.deadline
		if mutant.On(mutant.LateEnd) {
			ends += int64(3 * time.Second)
		}
		if ends > now {
			next = ends
			break
		}
		if k.log.IsDebug() {
			k.log.Debug("lease expired", "lease_id", h.lease.ID, "run_id", h.lease.RunID)
		}
		ended, late = ended+1, max(late, now-h.deadline)
		k.end(life, h, reasonExpired)
	}
	if ended > 0 {
		k.log.Info("leases expired", "count", ended, "late_ns", late)
	}
	return next
}
