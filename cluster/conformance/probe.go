package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/holder"
)

// The names of the checks. They are what is recorded, and what a person looks up in docs/conformance.md.
const (
	checkReached = "reached"
	checkInTime  = "in_time"

	checkLeased      = "leased"
	checkWiped       = "wiped"
	checkUsed        = "used"
	checkPastEnd     = "past_the_end"
	checkForeign     = "foreign_lease"
	checkOtherBroker = "foreign_broker"
	checkOtherCell   = "foreign_cell"
	checkFlipped     = "flipped"
	checkRenewed     = "renewed"
	checkOldToken    = "old_generation"
	checkRevoked     = "revoked"
	checkTornDown    = "torn_down"
	checkUnproved    = "unproved"
	checkWrongKey    = "wrong_key"
	checkOtherProof  = "other_proof"
	checkProved      = "proved"
	checkReplayed    = "replayed_proof"
	checkNarrowed    = "narrowed"
	checkWidened     = "widened"
	checkForgedLink  = "forged_link"
	checkTooDeep     = "too_deep"
	checkFreed       = "freed"
	checkExpired     = "expired"
)

// probe proves one kind.
type probe struct {
	*suite
	plan
	thorough bool // every byte of a token is tried
}

// held is a lease of the suite with its newest token.
type held struct {
	api.Grant
	asked, bound time.Time // around its grant or renewal
	// key proves the holder; nil is whoever has the token.
	key *holder.Key
}

// run takes the checks of a kind in their order; what cannot go on ends it.
func (p *probe) run(ctx context.Context) {
	first := p.lease(ctx, checkLeased, leaseTime, nil)
	if first == nil {
		return
	}
	p.touch(ctx, first)
	if p.use != nil {
		p.use(ctx, p)
	}
	p.attack(ctx, first)
	if p.renew(ctx, first) {
		p.revoke(ctx, first)
		if p.alone != nil {
			p.alone(ctx, p)
		}
	}
	p.holders(ctx)
	p.expire(ctx)
}

// skipped is why nothing can be said of the cell by a check. It is no failure.
type skipped string

// Error returns the reason.
func (s skipped) Error() string { return string(s) }

// look is one check: it returns what it got, and whether that is right.
type look func(ctx context.Context) (got string, ok bool, err error)

// check takes a check within its time and tells of it. An error is a failure, unless it is not the cell's.
func (p *probe) check(ctx context.Context, name, want string, see look) bool {
	if ctx.Err() != nil {
		return false
	}
	began := p.Clock.Now()
	step, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	got, ok, err := see(step)
	if why, is := errors.AsType[skipped](err); is {
		p.tell(api.ConformanceCheck{Name: name, Kind: p.kind, OK: true, Want: want, Skipped: string(why), TookMs: p.since(began)})
		return false
	}
	if (!ok || err != nil) && p.give(ctx, string(p.kind)+"/"+name, err) {
		return false
	}
	if err != nil {
		got, ok = strings.TrimSpace(got+" "+say(err)), false
	}
	p.tell(api.ConformanceCheck{Name: name, Kind: p.kind, OK: ok, Got: got, Want: want, TookMs: p.since(began)})
	return ok
}

func (s *suite) since(t time.Time) int64 { return clock.Since(s.Clock, t).Milliseconds() }

// say puts an answer into a few words.
func say(err error) string {
	const most = 200
	if err == nil {
		return served
	}
	text := err.Error()
	if e, ok := api.AsError(err); ok {
		text = string(e.Kind) + ": " + e.Detail
	}
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

const served = "served"

// refusal is a look at an operation that the cell has to refuse in one of these ways.
func (p *probe) refusal(w way, o operation, kinds ...api.Kind) look {
	return func(ctx context.Context) (string, bool, error) {
		_, err := patiently(ctx, w, o)
		return say(err), err != nil && slices.Contains(kinds, api.KindOf(err)), notTheCells(err)
	}
}

// taken is whether the cell took the token for what it is: it served, or, of a kind without bytes,
// refused for the one reason that comes after all the others.
func (p *probe) taken(err error) bool {
	if p.bytes {
		return err == nil
	}
	return api.KindOf(err) == api.CaveatFailed
}

// takenAs is how taken is said.
func (p *probe) takenAs() string {
	if p.bytes {
		return served
	}
	return "caveat_failed, which is last of all"
}

// acceptance is a look at an operation whose token has to be taken.
func (p *probe) acceptance(w way, o operation) look {
	return func(ctx context.Context) (string, bool, error) {
		_, err := patiently(ctx, w, o)
		return say(err), p.taken(err), notTheCells(err)
	}
}

// patiently repeats what a busy cell put off.
func patiently(ctx context.Context, w way, o operation) ([]byte, error) {
	for {
		b, err := w.do(ctx, o)
		if api.KindOf(err) != api.Overloaded || !clock.Sleep(ctx, 20*time.Millisecond) {
			return b, err
		}
	}
}

// amountOf is what is leased: the plan's, or what there is, in whole units of least.
func (p *probe) amountOf() int64 {
	n := min(p.amount, p.Free.Get(p.kind))
	return n - n%p.least
}

// lease takes one lease of the suite's amount; nil is that there is none.
func (p *probe) lease(ctx context.Context, name string, ttl time.Duration, key *holder.Key) *held {
	return p.leaseOf(ctx, name, p.amountOf(), ttl, key)
}

func (p *probe) leaseOf(ctx context.Context, name string, amount int64, ttl time.Duration, key *holder.Key) *held {
	var h *held
	r := api.LeaseRequest{
		Provider: p.Cell.Provider, Tenant: api.ConformanceTenant, Resources: api.Resources{}.With(p.kind, amount),
		TTLMs: ttl.Milliseconds(),
	}
	if key != nil {
		r.Holder = key.Thumbprint().String()
	}
	p.check(ctx, name, fmt.Sprintf("%d %s of %s, bound, with a token", amount, p.kind.Unit(), p.kind), func(ctx context.Context) (string, bool, error) {
		asked := p.Clock.Now()
		g, err := p.Fabric.Lease(ctx, r)
		if g.ID != "" {
			p.opened(g.ID)
		}
		if err != nil {
			return "", false, err
		}
		h = &held{g, asked, p.Clock.Now(), key}
		return fmt.Sprintf("lease %s of %d", g.ID, g.Amount), g.Token != "" && g.Kind == p.kind && g.Amount == amount && g.CellID == p.Cell.ID, nil
	})
	return h
}

// read is a read of the first bytes of a lease with its token.
func (h *held) read() operation {
	return operation{lease: h.Lease, token: h.Token, length: min(16, h.Amount)}
}
