package leader

import (
	"context"
	"sync"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// answer is what became of a job.
type answer struct {
	result fsm.Result
	err    *api.Error
}

func (a answer) split() (fsm.Result, error) {
	if a.err != nil { // a nil *api.Error in an error is not nil
		return a.result, a.err
	}
	return a.result, nil
}

// asked are jobs that one caller waits for together: it is woken once, by the last answer. A
// goroutine for each request of a batch, with a channel and a wake-up of its own, cost as much as
// what is decided.
type asked struct {
	done chan struct{} // closed when every job has its answer

	mu      sync.Mutex
	left    int      // guarded by mu: without an answer yet
	answers []answer // guarded by mu until done is closed
	given   []bool   // guarded by mu
}

func newAsked(n int) *asked {
	a := &asked{done: make(chan struct{}), left: n, answers: make([]answer, n), given: make([]bool, n)}
	if n == 0 {
		close(a.done) // every answer of none is there
	}
	return a
}

// give answers a job; only its first answer counts.
func (a *asked) give(at int, ans answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.given[at] {
		return
	}
	a.answers[at], a.given[at] = ans, true
	if a.left--; a.left == 0 {
		close(a.done)
	}
}

// wait returns the answers. Where ctx ends before the last of them, nobody knows of the others.
func (a *asked) wait(ctx context.Context) []answer {
	select {
	case <-a.done:
		return a.answers
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]answer, len(a.answers))
	for i := range out {
		if out[i] = a.answers[i]; !a.given[i] {
			out[i].err = api.Refuse(api.OutcomeUnknown, "the request ended before its outcome was known: %v", ctx.Err()).
				WithHint("repeat the request with the same idempotency key")
		}
	}
	return out
}

// do queues jobs and waits for their answers. Every job in the queue gets one, at the latest when
// the term ends.
func (t *term) do(ctx context.Context, jobs ...*job) []answer {
	to := newAsked(len(jobs))
	for i, j := range jobs {
		j.ctx = ctx //nolint:fatcontext // each job has the request's
		j.to, j.at = to, i
		if e := t.enqueue(j); e != nil {
			j.refuse(e)
		}
	}
	return to.wait(ctx)
}

func (j *job) reply(a answer) { j.to.give(j.at, a) }

func (j *job) refuse(e *api.Error) { j.reply(answer{err: e}) }
