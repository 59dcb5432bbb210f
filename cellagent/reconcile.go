package cellagent

import (
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/cellagent/ledger"
)

// The reasons that the cell itself gives for a lease's end; others come from the scheduler.
const (
	reasonExpired        = "expired"
	reasonReleased       = "released"
	reasonStaleStamp     = "stale_stamp"
	reasonAgentRestarted = "agent_restarted"
	reasonAgentStopping  = "agent_stopping"
	reasonBindFailed     = "bind_failed"
	reasonNotDesired     = "not_desired"
	// A grant that is not newer than what was accepted here before, and is not known here.
	reasonStaleEpoch = "stale_epoch"
	// A generation that is lower than what an agent before this one had accepted.
	reasonStaleGeneration = "stale_generation"
)

// verb is what to do about one lease.
type verb int

const (
	doNothing   verb = iota
	doBind           // open the binding, until deadline
	doRenew          // the generation moved: new deadline, new token
	doUpdate         // same generation: only the record is newer
	doEnd            // tear down what is held
	doRefuse         // nothing is held: report torndown
	doRepeatEnd      // it ended here: say so again
	doForget         // the schedulers know its end
)

// step is a verb and what it needs.
type step struct {
	verb     verb
	deadline int64 // CLOCK_BOOTTIME ns, for doBind and doRenew
	reason   string
}

// standing is what the cell has of one lease.
type standing struct {
	held       bool
	ending     bool // held, and on its way down
	gone       bool // this agent held it and it ended
	epoch      uint64
	generation uint64
	// before is what an agent before this one accepted of it; nil is nothing.
	before *ledger.Entry
	// floor is the newest fencing number that the cell has accepted: what is not newer was offered
	// before, or is of a scheduler that does not lead any more.
	floor uint64
}

// moment is when, on the cell's clock, a message was received.
type moment struct {
	bootID  string
	receipt int64
}

// deadlineOf returns when the cell stops the lease by itself: min(receipt, stamp + bound) + TTL.
// ok is false for a stamp that is of another boot or older than the delivery bound: such a
// grant may have been given again by the time it arrives here (C2).
func deadlineOf(l api.Lease, at moment) (deadline int64, ok bool) {
	latest := l.Stamp.BootTime + int64(api.DeliveryBound)
	if mutant.On(mutant.OldStamp) {
		return at.receipt + int64(l.TTL()), true
	}
	if l.Stamp.BootID == "" || l.Stamp.BootID != at.bootID || at.receipt > latest {
		return 0, false
	}
	return min(at.receipt, latest) + int64(l.TTL()), true
}

// decide says what to do about one desired lease. It is pure.
func decide(l api.Lease, s standing, at moment) step {
	switch {
	case s.gone:
		if l.State.Terminal() {
			return step{verb: doForget}
		}
		return step{verb: doRepeatEnd}
	case s.held:
		return decideHeld(l, s, at)
	case l.State.Terminal():
		return step{}
	case l.BoundGeneration > 0:
		// An agent process before this one had it; its bindings were wiped at the start.
		return step{verb: doRefuse, reason: reasonAgentRestarted}
	case !l.State.Usable():
		return step{verb: doRefuse, reason: endReason(l)}
	case s.before == nil && s.floor > 0 && l.Epoch <= s.floor && !mutant.On(mutant.ForgetFloor):
		return step{verb: doRefuse, reason: reasonStaleEpoch}
	}
	deadline, ok := deadlineOf(l, at)
	if !ok {
		return step{verb: doRefuse, reason: reasonStaleStamp}
	}
	if s.before != nil {
		return decideBefore(l, s.before, deadline, at)
	}
	return step{verb: doBind, deadline: deadline}
}

// decideBefore says what to do about a grant that an agent before this one had accepted, and, as far
// as the schedulers know, not bound: it may be bound, until when it said.
func decideBefore(l api.Lease, e *ledger.Entry, deadline int64, at moment) step {
	switch {
	case e.Phase != ledger.Accepted:
		return step{verb: doRefuse, reason: reasonAgentRestarted} // it has ended here
	case l.Epoch < e.Epoch:
		return step{verb: doRefuse, reason: reasonStaleEpoch}
	case l.Epoch > e.Epoch:
		return step{verb: doBind, deadline: deadline}
	case l.Generation < e.Generation:
		return step{verb: doRefuse, reason: reasonStaleGeneration}
	}
	if l.Generation == e.Generation && e.BootID == at.bootID {
		deadline = min(deadline, e.Deadline) // C1: it moves only with the generation
	}
	if deadline <= at.receipt {
		return step{verb: doRefuse, reason: reasonExpired}
	}
	return step{verb: doBind, deadline: deadline}
}

func decideHeld(l api.Lease, s standing, at moment) step {
	switch {
	case s.ending:
		return step{}
	case l.Epoch < s.epoch || l.Epoch == s.epoch && l.Generation < s.generation:
		return step{} // an older grant than the one that is held
	case !l.State.Usable() && !mutant.On(mutant.KeepRevoked):
		return step{verb: doEnd, reason: endReason(l)}
	case l.Epoch == s.epoch && l.Generation == s.generation:
		return step{verb: doUpdate}
	}
	deadline, ok := deadlineOf(l, at)
	if !ok {
		// Not applied: the lease ends at the deadline it has, which is the safe one.
		return step{verb: doNothing, reason: reasonStaleStamp}
	}
	return step{verb: doRenew, deadline: deadline}
}

// endReason returns the scheduler's reason for the end of a lease, or its state.
func endReason(l api.Lease) string {
	if l.Reason != "" {
		return l.Reason
	}
	return string(l.State)
}

// left returns how long a deadline is away.
func left(deadline, now int64) time.Duration { return time.Duration(deadline - now) }

// runVerb is what to do about one run.
type runVerb int

const (
	runNothing runVerb = iota
	runTrack           // a new run, or a new attempt: it starts when its leases are bound
	runRepeat          // its result is known here: say so again
	runLose            // an earlier agent ran it
	runForget          // it has its result, or was placed elsewhere: kill what is left of it
)

// runStanding is what the cell has of one run.
type runStanding struct {
	tracked bool
	attempt int
	decided bool // its result is known
}

// decideRun says what to do about one desired run of this cell. It is pure.
func decideRun(r api.Run, here bool, s runStanding) runVerb {
	switch {
	case s.tracked && r.Attempt < s.attempt:
		return runNothing
	case s.tracked && r.Attempt == s.attempt:
		switch {
		case r.State.Terminal() || r.State == api.RunAdmitted || !here:
			return runForget // decided, or to be tried again elsewhere
		case s.decided:
			return runRepeat
		}
		return runNothing
	case !here || r.State.Terminal() || r.State == api.RunAdmitted:
		if s.tracked {
			return runForget
		}
		return runNothing
	case r.State == api.RunRunning:
		return runLose
	}
	return runTrack
}
