package leader

import (
	"context"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// job is one command on its way into an entry: ready as cmd, or still to be placed as grant.
type job struct {
	ctx    context.Context //nolint:containedctx // the request's own, to drop what nobody waits for
	cmd    fsm.Command
	grant  *fsm.GrantLeases
	tries  int
	answer chan answer // holds one
}

type answer struct {
	result fsm.Result
	err    *api.Error
}

func (j *job) refuse(e *api.Error) { j.answer <- answer{err: e} }

// Bounds of an entry. Two entries are in flight, so that the next one is decided while the
// last one is written; there is no timer: an entry takes what became ready meanwhile.
const (
	maxGroup   = 256
	groupBytes = 64 << 10
	inFlight   = 2
	maxTries   = 4
)

// plan is the one goroutine that decides: it takes what is queued, places what is to be
// placed on the committed state and what is in flight, and proposes the group.
func (t *term) plan(ctx context.Context) {
	slots := make(chan struct{}, inFlight)
	var over *job // read from the queue, but too large for the group before
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			if over != nil {
				over.refuse(errNotLeading())
			}
			return
		}
		group, rest, ok := t.collect(ctx, over)
		if !ok {
			return
		}
		over = rest
		if len(group) == 0 {
			<-slots
			continue
		}
		t.wg.Go(func() {
			defer func() { <-slots }()
			t.commit(ctx, group)
		})
	}
}

// collect waits for a first job and adds what is queued behind it, up to the bounds. It
// returns the jobs that need a command committed; the others have their answer.
func (t *term) collect(ctx context.Context, first *job) (group []*job, rest *job, ok bool) {
	if first == nil {
		select {
		case first = <-t.queue:
		case <-ctx.Done():
			return nil, nil, false
		}
	}
	d := t.newDesk()
	size := 0
	for j := first; j != nil; j = t.poll() {
		if !d.decide(j) {
			continue
		}
		n := fsm.EncodedSize(j.cmd)
		if len(group) > 0 && (size+n > groupBytes || len(group) == maxGroup) {
			t.settle(j, true)
			return group, j, true
		}
		size += n
		group = append(group, j)
	}
	return group, nil, true
}

func (t *term) poll() *job {
	select {
	case j := <-t.queue:
		return j
	default:
		return nil
	}
}

// commit proposes the group and answers every job of it.
func (t *term) commit(ctx context.Context, group []*job) {
	cmds := make([]fsm.Command, len(group))
	for i, j := range group {
		cmds[i] = j.cmd
	}
	results, err := t.cfg.Node.Propose(ctx, t.entry(cmds...))
	for i, j := range group {
		switch {
		case err != nil:
			t.settle(j, false)
			j.refuse(api.Problem(err))
		case i >= len(results):
			t.settle(j, false)
			j.refuse(api.Refuse(api.Internal, "entry with %d commands gave %d results", len(group), len(results)))
		default:
			t.settle(j, results[i].Problem != nil)
			t.conclude(j, results[i])
		}
	}
}

// settle takes j's booking off the desk. Repetitions that waited for it are decided now: most
// find its outcome under their key.
func (t *term) settle(j *job, refused bool) {
	for _, r := range t.booked.remove(j, refused) {
		t.requeue(r)
	}
}

// conclude answers a job that was applied, or lets a decision that was overtaken by another
// one be made anew.
func (t *term) conclude(j *job, r fsm.Result) {
	if j.grant == nil || r.Problem == nil {
		j.answer <- answer{r, r.Problem}
		return
	}
	if r.Problem.Kind == api.Conflict && j.tries < maxTries {
		j.tries++
		t.requeue(j)
		return
	}
	j.answer <- answer{r, r.Problem}
}

// requeue puts a job that was in the queue before behind the others.
func (t *term) requeue(j *job) {
	select {
	case t.queue <- j:
	default:
		j.refuse(overloaded())
	}
}

func overloaded() *api.Error {
	e := api.Refuse(api.Overloaded, "the leader has %d commands waiting", queueLen)
	e.RetryAfterMs = 200
	return e
}
