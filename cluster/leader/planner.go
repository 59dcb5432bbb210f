package leader

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/fsm"
)

// job is one command on its way into an entry: ready as cmd, or still to be placed as grant.
type job struct {
	ctx   context.Context //nolint:containedctx // the request's own, to drop what nobody waits for
	cmd   fsm.Command
	grant *fsm.GrantLeases
	tries int
	to    *asked // who waits for its answer,
	at    int    // and which of the answers it is
}

// Bounds of an entry. An entry takes what became ready while the last one was written; only
// what cells report waits a little for more (patience). Two are in flight when there is much to do,
// so that the next one is decided meanwhile; when there is little it waits for the last one, and is
// the larger for it. What an entry costs, three disks and two connections, is the same for one
// command as for many.
const (
	maxGroup = 768
	// maxDecide bounds the jobs that are decided for one entry, refused ones too, and
	// decideFor the time that this takes: refusals that come as fast as they are answered must
	// not keep what is ready, renewals and expiry too, from the log, nor the leader from
	// looking at the state again.
	maxDecide  = maxGroup
	decideFor  = 5 * time.Millisecond
	groupBytes = 200 << 10
	inFlight   = 2
	// muchToDo is how many commands are worth a second entry.
	muchToDo = 64
	maxTries = 4
)

// plan is the one goroutine that decides: it takes what is queued, places what is to be
// placed on the committed state and what is in flight, and proposes the group.
func (t *term) plan(ctx context.Context) {
	p := newPending(func() int { return t.cfg.Machine.View().Unbound() })
	defer p.timer.Stop()
	kept := rosters{}
	for t.gather(ctx, p) {
		var group []*job
		group, p.jobs = t.collect(p.jobs, kept)
		p.begin()
		if len(group) == 0 {
			continue
		}
		p.flying++
		t.wg.Go(func() {
			defer func() { p.done <- struct{}{} }()
			t.commit(ctx, group)
		})
	}
	for _, j := range p.jobs {
		j.refuse(errNotLeading())
	}
}

// gather takes from the queue until the next entry may be made; false when the term ends.
func (t *term) gather(ctx context.Context, p *pending) bool {
	for !p.ready() {
		queue := t.queue
		if len(p.jobs) >= maxGroup {
			queue = nil // the others wait where they are counted
		}
		select {
		case j := <-queue:
			p.add(j)
		case <-p.done:
			p.flying--
		case <-p.timer.C:
			p.late()
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// collect decides what was taken from the queue and what stands behind it, up to the bounds.
// It returns the jobs that need a command committed; the others have their answer, but for
// the rest, which is for the next entry.
func (t *term) collect(jobs []*job, kept rosters) (group, rest []*job) {
	d := t.newDesk(kept)
	size := 0
	began := t.cfg.Clock.Now()
	for decided := 0; len(jobs) > 0 && decided < maxDecide; decided++ {
		if decided > 0 && clock.Since(t.cfg.Clock, began) >= decideFor {
			break
		}
		j := jobs[0]
		if jobs = jobs[1:]; len(jobs) == 0 {
			jobs = t.poll(jobs)
		}
		if !d.decide(j) {
			continue
		}
		n := fsm.EncodedSize(j.cmd)
		if len(group) > 0 && size+n > groupBytes {
			t.settle(j, true)
			return group, append([]*job{j}, jobs...)
		}
		size += n
		group = append(group, j)
	}
	return group, jobs
}

// poll adds the next job of the queue, if there is one.
func (t *term) poll(jobs []*job) []*job {
	select {
	case j := <-t.queue:
		return append(jobs, j)
	default:
		return jobs
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
		j.reply(answer{r, r.Problem})
		return
	}
	if r.Problem.Kind == api.Conflict && j.tries < maxTries {
		j.tries++
		t.requeue(j)
		return
	}
	j.reply(answer{r, r.Problem})
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
