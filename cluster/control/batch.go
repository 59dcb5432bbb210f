package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/grafos/grafos/api"
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
	out := &api.BatchAnswer{Answers: make([]api.BatchResult, n)}
	var wg sync.WaitGroup
	for i, item := range r.Requests {
		wg.Go(func() { out.Answers[i] = c.requestItem(ctx, item, batchOptions(o, item, i)) })
	}
	wg.Wait()
	if err := c.undecided(out); err != nil {
		return nil, err
	}
	out.Index = c.cfg.Machine.View().Index()
	return out, nil
}

func (c *Control) requestItem(ctx context.Context, item api.BatchItem, o api.WriteOptions) api.BatchResult {
	res := api.BatchResult{IdempotencyKey: o.IdempotencyKey}
	grant, err := c.RequestLeases(ctx, item.LeaseRequest, o)
	if err != nil {
		res.Problem = api.Problem(err)
	} else {
		res.Grant = grant
	}
	return res
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
