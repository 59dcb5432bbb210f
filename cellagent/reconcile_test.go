package cellagent

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

const second = int64(time.Second)

func TestDecide(t *testing.T) {
	at := moment{bootID: "b", receipt: 100 * second}
	lease := func(change func(*api.Lease)) api.Lease {
		l := api.Lease{
			ID: "l", State: api.LeaseActive, Generation: 2, Epoch: 9, TTLMs: 60_000,
			Stamp: api.Stamp{BootID: "b", BootTime: 95 * second},
		}
		if change != nil {
			change(&l)
		}
		return l
	}
	same := standing{held: true, epoch: 9, generation: 2}
	older := standing{held: true, epoch: 9, generation: 1}
	tests := []struct {
		name  string
		lease api.Lease
		have  standing
		want  step
	}{
		{"new", lease(nil), standing{}, step{verb: doBind, deadline: 160 * second}},
		{"new in warning", lease(func(l *api.Lease) { l.State = api.LeaseRevokeWarning }), standing{}, step{verb: doBind, deadline: 160 * second}},
		{"new, stamp of the future", lease(func(l *api.Lease) { l.Stamp.BootTime = 105 * second }), standing{}, step{verb: doBind, deadline: 160 * second}},
		{"new, stale", lease(func(l *api.Lease) { l.Stamp.BootTime = 90*second - 1 }), standing{}, step{verb: doRefuse, reason: reasonStaleStamp}},
		{"new, bound before", lease(func(l *api.Lease) { l.BoundGeneration = 1 }), standing{}, step{verb: doRefuse, reason: reasonAgentRestarted}},
		{"new, over", lease(func(l *api.Lease) { l.State = api.LeaseExpired }), standing{}, step{verb: doRefuse, reason: "expired"}},
		{"new, terminal", lease(func(l *api.Lease) { l.State = api.LeaseTornDown }), standing{}, step{}},
		{"held", lease(nil), same, step{verb: doUpdate}},
		{"held, renewed", lease(nil), older, step{verb: doRenew, deadline: 160 * second}},
		{"held, renewed too late", lease(func(l *api.Lease) { l.Stamp.BootTime = 1 }), older, step{reason: reasonStaleStamp}},
		{"held, older generation", lease(nil), standing{held: true, epoch: 9, generation: 3}, step{}},
		{"held, older epoch", lease(nil), standing{held: true, epoch: 10, generation: 1}, step{}},
		{"held, older epoch ends", lease(func(l *api.Lease) { l.State = api.LeaseExpired }), standing{held: true, epoch: 10}, step{}},
		{"held, newer epoch", lease(nil), standing{held: true, epoch: 8, generation: 5}, step{verb: doRenew, deadline: 160 * second}},
		{"held, forced", lease(func(l *api.Lease) { l.State, l.Reason = api.LeaseForcedTeardown, "revoked" }), same, step{verb: doEnd, reason: "revoked"}},
		{"held, closed by force", lease(func(l *api.Lease) { l.State = api.LeaseFailedClosed }), same, step{verb: doEnd, reason: "failed_closed"}},
		{"ending", lease(nil), standing{held: true, ending: true, epoch: 9, generation: 1}, step{}},
		{"gone, still wanted", lease(nil), standing{gone: true}, step{verb: doRepeatEnd}},
		{"gone, known", lease(func(l *api.Lease) { l.State = api.LeaseTornDown }), standing{gone: true}, step{verb: doForget}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decide(tt.lease, tt.have, at); got != tt.want {
				t.Errorf("decide = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDecideRun(t *testing.T) {
	run := func(s api.RunState, attempt int) api.Run { return api.Run{ID: "r", State: s, Attempt: attempt} }
	tests := []struct {
		name string
		run  api.Run
		here bool
		have runStanding
		want runVerb
	}{
		{"new", run(api.RunPlaced, 1), true, runStanding{}, runTrack},
		{"elsewhere", run(api.RunPlaced, 1), false, runStanding{}, runNothing},
		{"waits for a place", run(api.RunAdmitted, 1), true, runStanding{}, runNothing},
		{"an earlier agent ran it", run(api.RunRunning, 1), true, runStanding{}, runLose},
		{"known", run(api.RunRunning, 1), true, runStanding{tracked: true, attempt: 1}, runNothing},
		{"known, decided", run(api.RunRunning, 1), true, runStanding{tracked: true, attempt: 1, decided: true}, runRepeat},
		{"known, over", run(api.RunRevoked, 1), true, runStanding{tracked: true, attempt: 1}, runForget},
		{"known, to be tried again", run(api.RunAdmitted, 1), true, runStanding{tracked: true, attempt: 1, decided: true}, runForget},
		{"known, moved away", run(api.RunPlaced, 1), false, runStanding{tracked: true, attempt: 1}, runForget},
		{"next attempt here", run(api.RunPlaced, 2), true, runStanding{tracked: true, attempt: 1, decided: true}, runTrack},
		{"next attempt elsewhere", run(api.RunPlaced, 2), false, runStanding{tracked: true, attempt: 1}, runForget},
		{"older attempt", run(api.RunPlaced, 1), true, runStanding{tracked: true, attempt: 2}, runNothing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decideRun(tt.run, tt.here, tt.have); got != tt.want {
				t.Errorf("decideRun = %d, want %d", got, tt.want)
			}
		})
	}
}

// TestDecideKeepsItsPromises follows one lease through random messages, late, repeated and out
// of order, against what the scheduler may assume: when it gives the resource again.
func TestDecideKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type grant struct{ lease api.Lease }
		var grants []grant
		now, stop := int64(1000)*second, int64(0)
		var have standing
		var deadline int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 12*second).Draw(t, "pass")
			if have.held && now >= deadline {
				have = standing{gone: true}
			}
			if rapid.Bool().Draw(t, "renew") {
				l := api.Lease{
					ID: "l", State: api.LeaseActive, Epoch: 1, Generation: uint64(len(grants) + 1),
					TTLMs: rapid.Int64Range(1000, 60_000).Draw(t, "ttl"),
					Stamp: api.Stamp{BootID: "b", BootTime: now - rapid.Int64Range(0, 5*second).Draw(t, "age")},
				}
				grants = append(grants, grant{l})
				// The scheduler's side, on one clock: TTL, delivery bound (drift is zero here).
				stop = max(stop, now+int64(l.TTL())+int64(api.DeliveryBound))
			}
			if len(grants) == 0 {
				continue
			}
			l := rapid.SampledFrom(grants).Draw(t, "message").lease
			at := moment{bootID: "b", receipt: now}
			before := deadline
			s := decide(l, have, at)
			switch s.verb {
			case doBind, doRenew:
				if have.gone || s.verb == doBind && have.held {
					t.Fatalf("bound again: %+v on %+v", s, have)
				}
				if s.verb == doRenew && l.Generation <= have.generation {
					t.Fatalf("generation %d renews %d", l.Generation, have.generation)
				}
				if now-l.Stamp.BootTime > int64(api.DeliveryBound) {
					t.Fatalf("a stamp that is %s old was taken", time.Duration(now-l.Stamp.BootTime))
				}
				deadline = s.deadline
				have = standing{held: true, epoch: l.Epoch, generation: l.Generation}
			case doUpdate:
				if l.Generation != have.generation {
					t.Fatalf("generation %d updates %d", l.Generation, have.generation)
				}
			case doNothing, doRefuse, doRepeatEnd:
			case doEnd, doForget:
				t.Fatalf("an active lease was answered %+v", s)
			}
			if deadline > stop {
				t.Fatalf("deadline %d is after %d, when the scheduler gives the resource again", deadline, stop)
			}
			if s.verb != doRenew && s.verb != doBind && deadline != before {
				t.Fatal("the deadline moved")
			}
		}
	})
}
