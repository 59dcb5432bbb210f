package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// maxBatched bounds the requests of all batches that are under way here.
const maxBatched = 8192

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
	if !c.batched.take(n) {
		e := api.Refuse(api.Overloaded, "the batches under way here have %d requests: there is no room for %d more", maxBatched, n)
		e.RetryAfterMs = 200
		return nil, e
	}
	defer c.batched.give(n)
	b := batch{c: c, out: &api.BatchAnswer{Answers: make([]api.BatchResult, n)}, results: make([]fsm.Result, n)}
	b.decide(ctx, r.Requests, o)
	b.bind(ctx)
	if err := c.undecided(b.out); err != nil {
		return nil, err
	}
	b.out.Index = c.cfg.Machine.View().Index()
	return b.out, nil
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

// room counts what is under way against a limit.
type room struct {
	limit int64
	used  atomic.Int64
}

func (r *room) take(n int) bool {
	if r.used.Add(int64(n)) <= r.limit {
		return true
	}
	r.give(n)
	return false
}

func (r *room) give(n int) { r.used.Add(-int64(n)) }
