package tasklet

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

const deadlineReached = "the run reached its deadline"

// errDeadline is why a run ends at its deadline.
func errDeadline() error { return api.Refuse(api.DeadlineExceeded, deadlineReached) }

// failureOf turns an error into how a run failed.
func failureOf(err error) api.Failure {
	if e, ok := api.AsError(err); ok {
		return api.Failure{Kind: e.Kind, Message: e.Detail}
	}
	return api.Failure{Kind: api.WorkerLost, Message: err.Error()}
}

// ended is the outcome of a run that err ended before it had a result: what ended ctx
// decides, if it has ended.
func ended(ctx context.Context, err error) work.Outcome {
	if ctx.Err() == nil {
		return work.Failed(failureOf(err))
	}
	cause := context.Cause(ctx)
	refusal, ok := api.AsError(cause)
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return expired("the run's time ran out")
	case ok && (refusal.Kind == api.DeadlineExceeded || refusal.Kind == api.LeaseExpiredKind):
		return expired(refusal.Detail)
	case ok && refusal.Kind == api.WorkerLost:
		return work.Failed(failureOf(refusal))
	case ok:
		return revoked(refusal.Detail)
	case errors.Is(cause, context.Canceled):
		return revoked("the run was revoked")
	}
	return revoked(cause.Error())
}

func expired(message string) work.Outcome {
	return work.Outcome{State: api.RunExpired, Failure: api.Failure{Kind: api.DeadlineExceeded, Message: message}}
}

func revoked(message string) work.Outcome {
	return work.Outcome{State: api.RunRevoked, Failure: api.Failure{Kind: api.LeaseRevoked, Message: message}}
}

// death is the outcome of a run whose worker is gone, by what is known of why: the agent
// killed it, its deadline's timer did, the compiler's timer, the kernel for want of memory, or
// none of those.
func (e *execution) death(ctx context.Context, err error) work.Outcome {
	out := e.cause(ctx, err)
	out.Duration = e.duration()
	return out
}

func (e *execution) cause(ctx context.Context, err error) work.Outcome {
	p := e.process
	if ctx.Err() != nil {
		return ended(ctx, err)
	}
	killed := false
	if status, ok := p.state.Sys().(syscall.WaitStatus); ok {
		killed = status.Signaled() && status.Signal() == unix.SIGKILL
	}
	deadline, _, _ := e.job.Word.Now()
	switch {
	case killed && BootTime() >= deadline:
		return expired(deadlineReached)
	case killed && p.oomSeen > e.oomKills:
		return work.Failed(api.Failure{
			Kind:    api.MemoryExceeded,
			Message: fmt.Sprintf("the worker held more than its limit of %d bytes", e.job.Memory+e.runner.config.Overhead),
		})
	case killed && e.compile > 0 && e.started.IsZero() && p.cpu() >= e.compile:
		return work.Failed(api.Failure{
			Kind:    api.InvalidModule,
			Message: fmt.Sprintf("compiling the module takes more than %s of CPU time", e.compile.Round(time.Second)),
		})
	}
	return work.Failed(api.Failure{Kind: api.WorkerLost, Message: e.lost(err)})
}

// lost says what is known of a worker that died for no reason of the run's.
func (e *execution) lost(err error) string {
	message := fmt.Sprintf("worker ended (%v): %v", e.process.state, err)
	if words := e.process.last.String(); words != "" {
		message += "; it said: " + words
	}
	return clip(message, maxFailureMessage)
}
