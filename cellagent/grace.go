package cellagent

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
)

// warn passes the announced end of a lease on, and an earlier one again: to the run that it is for,
// whose tasklet may then save what it has, and back to the schedulers while they do not know, whose
// watchers hear that the grace runs. force is how far away the end was in the state that the news is
// from; it only tells a holder what to expect, the end itself comes as one.
func (k *keeper) warn(l api.Lease, force time.Duration, at moment) {
	h, ok := k.held[l.ID]
	if !ok || h.force == l.ForceAt || h.phase == phaseEnding || l.ForceAt == 0 || !l.State.Usable() || l.Epoch != h.lease.Epoch {
		return
	}
	h.force = l.ForceAt
	if t := k.runOf(l); t != nil {
		t.word.Warn(at.receipt + int64(max(force, 0)))
	}
	if l.State == api.LeaseRevokeWarning {
		k.outbox.putProgress(api.LeaseProgress{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseGraceRunning})
	}
	k.log.Info("end announced", "lease_id", l.ID, "run_id", l.RunID, "in", force.Round(time.Millisecond), "reason", l.Reason)
}

// saved takes note that a run has handed its checkpoint over: it has nothing to wait for any more.
// Its announced leases end as what they were announced for.
func (k *keeper) saved(ctx context.Context, t *tracked) {
	k.mu.Lock()
	defer k.mu.Unlock()
	reason := reasonReleased
	for _, id := range t.run.LeaseIDs {
		if h, ok := k.held[id]; ok && h.force != 0 && h.phase != phaseEnding && h.lease.RunID == t.run.ID {
			k.outbox.putProgress(api.LeaseProgress{LeaseID: id, Epoch: h.lease.Epoch, State: api.LeaseCheckpoint})
			reason = endReason(h.lease)
		}
	}
	k.release(ctx, t, reason)
}

// extend lets a run go on for as long as all its leases do now.
func (k *keeper) extend(t *tracked) {
	if !t.started || t.report != nil {
		return
	}
	var deadline int64
	for _, id := range t.run.LeaseIDs {
		h, ok := k.held[id]
		if !ok || h.phase != phaseBound {
			return
		}
		if deadline == 0 || h.deadline < deadline {
			deadline = h.deadline
		}
	}
	t.word.Extend(deadline)
}
