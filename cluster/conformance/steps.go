package conformance

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// edge is what is written at each end of a lease's bytes.
const edge = 4 << 10

// touch uses the bytes of a new lease over every way: they are zero, and what is written at both ends is
// what is read.
func (p *probe) touch(ctx context.Context, h *held) {
	if !p.bytes {
		for _, w := range p.ways() {
			p.check(ctx, checkUsed+w.name, p.takenAs(), p.acceptance(w, h.read()))
		}
		return
	}
	whole := operation{lease: h.Lease, token: h.Token, length: h.Amount}
	p.wiped(ctx, h)
	for i, w := range p.ways() {
		p.check(ctx, checkUsed+w.name, "what was written at both ends, zeros between", func(ctx context.Context) (string, bool, error) {
			want := make([]byte, h.Amount)
			for _, at := range []int64{0, h.Amount - edge} {
				o := whole
				o.offset, o.length, o.data = at, edge, bytes.Repeat([]byte{byte('a' + i), byte(at)}, edge/2)
				copy(want[at:], o.data)
				if _, err := patiently(ctx, w, o); err != nil {
					return fmt.Sprintf("the write at %d:", at), false, err
				}
			}
			got, err := patiently(ctx, w, whole)
			if err != nil {
				return "the read:", false, err
			}
			return differs(got, want), bytes.Equal(got, want), nil
		})
	}
}

// wiped reads the whole of a lease that was given out, perhaps behind another one: not a byte of that may
// be there.
func (p *probe) wiped(ctx context.Context, h *held) {
	w := p.ways()[0]
	p.check(ctx, checkWiped, "zeros", func(ctx context.Context) (string, bool, error) {
		o := h.read()
		o.length = h.Amount
		if h.key != nil {
			var err error
			if o.proof, err = prove(ctx, w, h.key, o); err != nil {
				return "", false, err
			}
		}
		got, err := patiently(ctx, w, o)
		if err != nil {
			return "", false, err
		}
		zeros := make([]byte, h.Amount)
		if !bytes.Equal(got, zeros) {
			return differs(got, zeros), false, nil
		}
		return "zeros", true, nil
	})
}

// differs says where what was read is not what was expected.
func differs(got, want []byte) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d bytes, not %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Sprintf("byte %d is %#x, not %#x", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("the %d bytes that were expected", len(got))
}

// renew extends a lease: the next generation is taken, the token of the one before is not.
func (p *probe) renew(ctx context.Context, h *held) bool {
	old := *h
	ok := p.check(ctx, checkRenewed, "generation 2, and "+p.takenAs(), func(ctx context.Context) (string, bool, error) {
		g, err := p.Fabric.Renew(ctx, h.ID, leaseTime)
		if err != nil {
			return "", false, err
		}
		h.Grant = g
		_, err = patiently(ctx, p.ways()[0], h.read())
		return fmt.Sprintf("generation %d, and %s", g.Generation, say(err)), g.Generation == old.Generation+1 && p.taken(err), notTheCells(err)
	})
	if !ok {
		return false
	}
	for _, w := range p.ways() {
		p.check(ctx, checkOldToken+w.name, string(api.StaleGeneration), p.refusal(w, old.read(), api.StaleGeneration))
	}
	return true
}

// hears is how long after its order an end may be seen at the cell: what spec.md calls the cell hearing it,
// and the teardown bound.
const hears = 2 * api.TeardownBound

// revoke ends a lease at once: the cell refuses it from then on, and says that it is gone.
func (p *probe) revoke(ctx context.Context, h *held) {
	p.check(ctx, checkRevoked, "lease_revoked within "+hears.String(), func(ctx context.Context) (string, bool, error) {
		if err := p.Fabric.Revoke(ctx, h.ID); err != nil {
			return "", false, err
		}
		return p.gone(ctx, h, api.LeaseRevoked)
	})
	p.tornDown(ctx, h, checkRevoked)
}

// gone waits until the cell refuses an operation in this way.
func (p *probe) gone(ctx context.Context, h *held, want api.Kind) (string, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hears)
	defer cancel()
	w := p.ways()[0]
	last := "" // what the cell said when it was asked in time
	var failure error
	for {
		_, err := w.do(ctx, h.read())
		if ctx.Err() != nil {
			return "still " + last, false, failure
		}
		last, failure = say(err), notTheCells(err)
		if api.KindOf(err) == want {
			return last, true, nil
		}
		live := p.taken(err) || h.key != nil && api.KindOf(err) == api.Unauthenticated
		if !live && api.KindOf(err) != api.Overloaded {
			return last, false, failure
		}
		if !clock.Sleep(ctx, 10*time.Millisecond) {
			return "still " + last, false, failure
		}
	}
}

// tornDown waits for the cell's word that a lease is gone, and nothing of it left to be fenced.
func (p *probe) tornDown(ctx context.Context, h *held, after string) {
	p.check(ctx, after+"_"+checkTornDown, "torndown within "+(hears+time.Second).String(), func(ctx context.Context) (string, bool, error) {
		ctx, cancel := context.WithTimeout(ctx, hears+time.Second)
		defer cancel()
		l, err := p.Fabric.Ended(ctx, h.ID)
		if err != nil {
			return "", false, err
		}
		if l.State.Terminal() {
			p.closed(h.ID)
		}
		return fmt.Sprintf("%s (%s)", l.State, l.Reason), l.State == api.LeaseTornDown, nil
	})
}

const (
	// shortest is the life of the lease that is left to expire, afterwards for how long the cell is asked
	// behind its end, and pace how often.
	shortest   = api.MinTTL
	afterwards = 300 * time.Millisecond
	pace       = 5 * time.Millisecond
)

// expire leaves a lease to its end. The cell received the grant between asked and bound, so it serves up to
// asked + TTL, and nothing that is sent later than bound + TTL.
func (p *probe) expire(ctx context.Context) {
	h := p.lease(ctx, checkLeased+"_for_1s", shortest, nil)
	if h == nil {
		return
	}
	p.check(ctx, checkExpired, "served up to its end, and not after it", func(ctx context.Context) (string, bool, error) {
		w := p.ways()[0]
		until, over := h.asked.Add(shortest), h.bound.Add(shortest+shortest*api.DriftPPM/1_000_000)
		for first := ""; ; {
			sent := p.Clock.Now()
			_, err := w.do(ctx, h.read())
			early := p.Clock.Now().Before(until)
			switch kind := api.KindOf(err); {
			case p.taken(err):
				if sent.After(over) {
					return fmt.Sprintf("%s %s after its end", served, sent.Sub(over)), false, nil
				}
				if first != "" {
					return fmt.Sprintf("%s, and then %s again", first, served), false, nil
				}
			case kind == api.Overloaded:
			case kind != api.TokenExpired && kind != api.LeaseExpiredKind:
				return say(err), false, notTheCells(err)
			case early:
				return fmt.Sprintf("%s, %s before its end", say(err), until.Sub(sent)), false, nil
			case first == "":
				first = say(err)
			}
			if sent.After(over.Add(afterwards)) {
				return first, first != "", nil
			}
			if !clock.Sleep(ctx, pace) {
				return first, false, ctx.Err()
			}
		}
	})
	p.tornDown(ctx, h, checkExpired)
}
