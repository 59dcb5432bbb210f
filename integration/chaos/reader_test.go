package chaos

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/harness"
)

// reader looks at leases, on one scheduler at a time, verified or stale.
type reader struct {
	*load
	id      int
	clients []*client.Client // one a scheduler
}

func newReader(l *load, id int) *reader {
	r := &reader{load: l, id: id}
	for i := range l.fleet.Schedulers {
		r.clients = append(r.clients, l.client(i, true, 2*time.Second))
	}
	return r
}

// read makes one read.
func (r *reader) read(ctx context.Context) {
	_ = harness.Pause(ctx, 20*time.Millisecond+rand.N(40*time.Millisecond)) // its end shows below
	id := r.any()
	i := rand.IntN(len(r.clients))
	node := r.fleet.Schedulers[i]
	if id == "" || !node.Runs() {
		return
	}
	how := api.Linearizable
	if rand.IntN(2) == 0 {
		how = api.Stale
	}
	process, call := node.Process(), r.record.Begin(r.id)
	a, err := r.clients[i].ShowLease(ctx, id, api.ReadOptions{Consistency: how})
	switch {
	case err == nil:
		if how == api.Linearizable {
			call.Read(a.Lease.Lease)
		}
		if node.Process() == process { // else it may be another's answer
			call.Saw(process, a.Index, a.Lease.Lease)
		}
	case ctx.Err() != nil:
	case api.KindOf(err) == api.NotFound:
		if how == api.Linearizable {
			call.NotFound(id)
		}
	case ambiguous(api.KindOf(err)):
		r.book.failed(api.KindOf(err))
	default:
		r.book.fault("read lease %s on %s, %s: %v", id, node.Name, how, err)
	}
}
