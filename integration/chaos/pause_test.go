package chaos

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
	"github.com/grafos/grafos/integration/internal/history"
)

func resume(n *fleet.Node) heal {
	return func(context.Context) error { return n.Signal(syscall.SIGCONT) }
}

func stopFollower(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	return resume(n), n.Signal(syscall.SIGSTOP)
}

// stopLeader stops the leader and starts it again. Requests are in its sockets when it stops
// and are written to them while it stands still; meanwhile another one leads and changes what
// they ask for. What it says when it wakes must be true then, or a refusal.
func stopLeader(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	h, err := newHammer(ctx, r, n)
	if err != nil {
		return nil, err
	}
	if err := h.ask(); err != nil {
		return nil, err
	}
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	if f.hold > deposeTime {
		if err := h.depose(ctx); err != nil {
			return nil, err
		}
	}
	if err := h.ask(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := n.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		return h.collect(ctx)
	}, nil
}

// deposeTime is for how long a leader must stand still that another one follows it.
const deposeTime = 2500 * time.Millisecond

// hammer is a lease, and sockets to one scheduler through which it is asked for.
type hammer struct {
	*run
	node    *fleet.Node
	lease   api.LeaseID
	clients *client.Client // of the other schedulers
	asked   []*question
}

// question is a request on a socket of its own, for the lease or for another one.
type question struct {
	*socket
	call history.Call
	key  string // of a request for another lease; "" is a read
}

// hammerTTL is longer than its lease is needed, on a busy machine too.
const hammerTTL = 2 * time.Minute

// hammerID is the client number of the first question in the history.
const hammerID = 100

func newHammer(ctx context.Context, r *run, n *fleet.Node) (*hammer, error) {
	h := &hammer{run: r, node: n}
	probe := &lessor{load: r.load, id: hammerID - 1, client: r.admin}
	set, err := r.granted(ctx, probe, r.atEase(admitTime), api.LeaseRequest{
		Provider: fleet.Provider, Tenant: tenantFree, TTLMs: hammerTTL.Milliseconds(), Resources: api.Resources{Mem: 64 << 10},
	})
	if err != nil {
		return nil, err
	}
	h.lease = set.Leases[0].ID
	var urls []string
	for _, o := range r.others(n) {
		urls = append(urls, o.URL)
	}
	if h.clients, err = r.fleet.Client(callTime, urls...); err != nil {
		return nil, err
	}
	const sockets = 6 // two for each time that ask is called, and two to spare
	for range sockets {
		s, err := openSocket(ctx, r.fleet, n)
		if err != nil {
			return nil, err
		}
		h.asked = append(h.asked, &question{socket: s})
	}
	return h, nil
}

// ask writes a verified read and a request for a lease, on sockets that are unused.
func (h *hammer) ask() error {
	for i, q := range h.asked {
		if q.call != (history.Call{}) {
			continue
		}
		q.call = h.load.record.Begin(hammerID + i)
		if i%2 == 0 {
			if err := q.send("GET", "/leases/"+string(h.lease), "", nil); err != nil {
				return err
			}
			continue
		}
		q.key = crand.Text()
		return q.send("POST", "/leases", q.key, h.request())
	}
	return nil
}

func (h *hammer) request() api.LeaseRequest {
	return api.LeaseRequest{Provider: fleet.Provider, Tenant: tenantFree, TTLMs: 1000, Resources: api.Resources{Mem: 64 << 10}}
}

// depose waits for the next leader and has it change the lease: from then on an answer from
// before is a lie.
func (h *hammer) depose(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.atEase(10*time.Second))
	defer cancel()
	for {
		call := h.load.record.Begin(hammerID - 1)
		o := api.WriteOptions{IdempotencyKey: crand.Text()}
		a, err := pursue(ctx, h.load, "renew lease", func(ctx context.Context) (*api.LeaseAnswer, error) {
			return h.clients.RenewLease(ctx, h.lease, api.RenewRequest{TTLMs: hammerTTL.Milliseconds()}, o)
		})
		if err == nil {
			call.Renewed(a.Lease.Lease)
			return nil
		}
		call.MaybeRenewed(h.lease)
		// The cell may have its session at the one that stands still, and not know it yet.
		if api.KindOf(err) != api.BindTimeout || harness.Pause(ctx, 20*ms) != nil {
			return fmt.Errorf("renew lease while %s stands still: %w", h.node.Name, err)
		}
	}
}

// answerTime is how long a scheduler that woke may take to answer what waited for it.
const answerTime = 20 * time.Second

// collect reads the answers, asks once more, and settles what was left open.
func (h *hammer) collect(ctx context.Context) error {
	defer func() {
		for _, q := range h.asked {
			q.close()
		}
		_ = h.clients.Close() // idle connections
	}()
	if err := h.ask(); err != nil {
		return err
	}
	for _, q := range h.asked {
		switch {
		case q.call == (history.Call{}):
		case q.key == "":
			h.heard(q)
		default:
			if err := h.granted(ctx, q); err != nil {
				return err
			}
		}
	}
	call := h.load.record.Begin(hammerID - 1)
	a, err := pursue(ctx, h.load, "free lease", func(ctx context.Context) (*api.LeaseAnswer, error) {
		return h.admin.FreeLease(ctx, h.lease, api.WriteOptions{IdempotencyKey: string(h.lease)})
	})
	if err != nil {
		call.MaybeEnded(h.lease)
		return err
	}
	call.Ended(a.Lease.Lease)
	return nil
}

// heard notes the answer to a read. No answer and a refusal are both honest.
func (h *hammer) heard(q *question) {
	var a api.LeaseAnswer
	err := q.answer(&a, answerTime)
	switch {
	case err == nil:
		q.call.Read(a.Lease.Lease)
	case api.KindOf(err) == api.NotFound:
		q.call.NotFound(h.lease)
	default:
		h.load.book.failed(api.KindOf(err))
	}
}

// granted notes the answer to a request, and asks whoever leads now under the same key: both
// answers must name the same leases (L5), and what nobody was told of must not be (L3).
func (h *hammer) granted(ctx context.Context, q *question) error {
	var first api.GrantSet
	told := q.answer(&first, answerTime)
	if told == nil {
		h.load.book.granted(q.key, &first)
		q.call.Granted(first.Leases[0].Lease)
	} else {
		h.load.book.failed(api.KindOf(told))
	}
	set, err := pursue(ctx, h.load, "request leases", func(ctx context.Context) (*api.GrantSet, error) {
		return h.admin.RequestLeases(ctx, h.request(), api.WriteOptions{IdempotencyKey: q.key})
	})
	switch {
	case err == nil:
		h.load.book.granted(q.key, set)
		if told != nil {
			q.call.Granted(set.Leases[0].Lease)
		}
	case told == nil && api.KindOf(err) != api.BindTimeout:
		return fmt.Errorf("repeat a request that was granted: %w", err)
	}
	return nil
}
