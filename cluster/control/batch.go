package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// Bounds of all batches here, counted in requests. Who finds no room waits in line for a while:
// clients that come again by chance would pass one another, and some of them wait for ever.
const (
	// maxBatched are under way, no more than the cells bind in a second or two: a lease's time runs
	// from when it was granted, and with too many before it was over before the cell came to it.
	maxBatched = 4096
	// maxAtWork of them are decided or bound just now: more at a time are no more a second. They are
	// fewer than the leader's queue has places, so that batches leave some to everybody else.
	maxAtWork = 2048
	// workTime is for how long a batch that was decided counts as work. Cells that take longer, or
	// never answer, must not keep the others' batches waiting.
	workTime  = 500 * time.Millisecond
	batchWait = 5 * time.Second
)

// RequestBatch decides and answers each request on its own, all of them at the same time: the
// leader puts what comes together into one entry, and the cells bind side by side.
//
// When leadership moves meanwhile, the whole batch is answered with that: repeated under its
// keys, at whoever leads then, it has the one true answer to each of its requests.
func (c *Control) RequestBatch(ctx context.Context, r api.BatchRequest, o api.WriteOptions) (*api.BatchAnswer, error) {
	n := len(r.Requests)
	if n == 0 || n > api.MaxBatch {
		return nil, api.Refuse(api.InvalidArgument, "the batch has %d requests: it must have from 1 to %d", n, api.MaxBatch)
	}
	wait, stop := context.WithTimeout(ctx, batchWait)
	defer stop()
	if err := inLine(wait, c.batched, n); err != nil {
		return nil, err
	}
	defer c.batched.Release(int64(n))
	if err := inLine(wait, c.atWork, n); err != nil {
		return nil, err
	}
	rest := sync.OnceFunc(func() { c.atWork.Release(int64(n)) })
	defer rest()
	b := batch{c: c, out: &api.BatchAnswer{Answers: make([]api.BatchResult, n)}, results: make([]fsm.Result, n)}
	b.decide(ctx, r.Requests, o)
	late := time.AfterFunc(workTime, rest)
	defer late.Stop()
	b.bind(ctx)
	if err := c.undecided(b.out); err != nil {
		return nil, err
	}
	b.out.Index = c.cfg.Machine.View().Index()
	return b.out, nil
}

// inLine takes room for n requests as soon as those that came before have theirs.
func inLine(ctx context.Context, room *semaphore.Weighted, n int) error {
	if room.Acquire(ctx, int64(n)) == nil {
		return nil
	}
	e := api.Refuse(api.Overloaded, "the batches here leave no room for %d requests more within %s", n, batchWait)
	e.RetryAfterMs = 1000
	return e
}

// batch is one being worked on: its requests are decided side by side, and then waited for
// together.
type batch struct {
	c       *Control
	out     *api.BatchAnswer
	results []fsm.Result // of those that have neither grant nor problem yet
}

// decide has all of them decided at once; dry runs are, each on its own, beside them.
func (b *batch) decide(ctx context.Context, requests []api.BatchItem, o api.WriteOptions) {
	var wg sync.WaitGroup
	defer wg.Wait()
	grants, of := make([]fsm.GrantLeases, 0, len(requests)), make([]int, 0, len(requests))
	for i, item := range requests {
		o := batchOptions(o, item, i)
		b.out.Answers[i].IdempotencyKey = o.IdempotencyKey
		if o.DryRun {
			wg.Go(func() {
				var err error
				b.out.Answers[i].Grant, err = b.c.RequestLeases(ctx, item.LeaseRequest, o)
				b.refused(i, err)
			})
			continue
		}
		r, err := checked(ctx, item.LeaseRequest)
		if err != nil {
			b.refused(i, err)
			continue
		}
		g, err := grantOf(r, actor(ctx), o)
		if err != nil {
			b.refused(i, err)
			continue
		}
		grants, of = append(grants, g), append(of, i)
	}
	results, errs := b.c.cfg.Decider.AdmitAll(ctx, grants)
	led := sync.OnceValue(func() error { return b.c.led(ctx) }) // one question behind all decisions is enough
	for k, i := range of {
		b.results[i] = results[k]
		if err := errs[k]; uncommitted(err) {
			b.refused(i, cmp.Or(led(), err))
		} else {
			b.refused(i, err)
		}
	}
}

func (b *batch) refused(i int, err error) {
	if err != nil {
		b.out.Answers[i].Problem = api.Problem(err)
	}
}

// bind waits for all that was granted at once. What is bound then, with its token here, is an
// answer; for the rest each request does what it does alone.
func (b *batch) bind(ctx context.Context) {
	var ids []api.LeaseID
	for i, a := range b.out.Answers {
		if a.Grant == nil && a.Problem == nil {
			ids = append(ids, b.results[i].Leases...)
		}
	}
	b.c.waitAll(ctx, ids, 1, b.c.bindUntil())
	var wg sync.WaitGroup
	v := b.c.cfg.Machine.View()
	for i := range b.out.Answers {
		a := &b.out.Answers[i]
		if a.Grant != nil || a.Problem != nil {
			continue
		}
		if a.Grant = b.c.ready(v, b.results[i]); a.Grant != nil {
			continue
		}
		wg.Go(func() {
			var err error
			a.Grant, err = b.c.collect(ctx, b.results[i])
			b.refused(i, err)
		})
	}
	wg.Wait()
}

// undecided returns why a batch has no answer: some of its requests lost the leader on their
// way. One whose cell was slow has an answer of its own, and so have the others with it.
func (c *Control) undecided(out *api.BatchAnswer) error {
	if c.cfg.Cluster.Leads() {
		return nil
	}
	lost := 0
	for _, a := range out.Answers {
		if a.Problem != nil && (a.Problem.Kind == api.NoLeader || a.Problem.Kind == api.OutcomeUnknown) {
			lost++
		}
	}
	if lost == 0 {
		return nil
	}
	return api.Refuse(api.OutcomeUnknown, "leadership moved before %d of the batch's %d requests had their answer", lost, len(out.Answers)).
		WithHint("repeat the batch with the same idempotency keys")
}

// batchOptions are those of one request of a batch: its own key, or one made of the batch's.
func batchOptions(o api.WriteOptions, item api.BatchItem, i int) api.WriteOptions {
	key := item.IdempotencyKey
	if key == "" && o.IdempotencyKey != "" {
		key = batchKey(o.IdempotencyKey, i)
	}
	o.IdempotencyKey = key
	return o
}

// batchKey is the idempotency key of one request of a batch.
func batchKey(key string, i int) string {
	each := key + "/" + strconv.Itoa(i)
	if len(each) <= api.MaxKeyLen || len(key) > api.MaxKeyLen {
		return each // the batch's own key is refused where it is too long
	}
	sum := sha256.Sum256([]byte(each))
	return hex.EncodeToString(sum[:])
}
