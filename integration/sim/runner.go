package sim

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// runner executes tasklets by sleeping: a guest that computes would hold the time.
// They are processes of their own: one that reaches its deadline ends also while the agent
// stands still, which hears of it when it goes on. While their host is suspended they stand too, and
// what was due meanwhile is due when it wakes.
type runner struct {
	host *host
	proc *proc
}

// Run sleeps as long as the tasklet takes, until its deadline or until it is stopped.
func (r *runner) Run(ctx context.Context, j work.Job) work.Outcome {
	out := r.run(ctx, j)
	r.proc.awake()
	return out
}

func (r *runner) run(ctx context.Context, j work.Job) work.Outcome {
	takes := r.host.w.dice.between(5*time.Millisecond, 3*time.Second)
	deadline, _, _ := j.Word.Now()
	left := time.Duration(deadline - r.host.boot.Now())
	fails := r.host.w.dice.chance(0.1)
	switch {
	case !pass(ctx, min(takes, left)) || !r.wakes(ctx):
		return work.Outcome{State: api.RunRevoked, Failure: api.Failure{Kind: api.LeaseRevoked, Message: "stopped"}}
	case left <= takes || r.host.boot.Now() >= deadline:
		return work.Outcome{State: api.RunExpired, Failure: api.Failure{Kind: api.DeadlineExceeded, Message: "deadline"}}
	case fails:
		return work.Outcome{State: api.RunFailed, ExitCode: 3, Failure: api.Failure{Kind: api.ExitNonzero, Message: "exit 3"}, Duration: takes}
	}
	return work.Outcome{State: api.RunSucceeded, Stdout: []byte(j.Run), Duration: takes}
}

// wakes waits until the host is not suspended; false is that the tasklet was stopped meanwhile.
func (r *runner) wakes(ctx context.Context) bool {
	r.host.sleep.awake()
	return ctx.Err() == nil
}

// Close has nothing to close.
func (r *runner) Close() error { return nil }
