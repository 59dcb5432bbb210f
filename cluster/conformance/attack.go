package conformance

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
)

// attack shows the cell tokens for a lease that are not what it minted for it, and asks for what is not
// in it.
func (p *probe) attack(ctx context.Context, h *held) {
	w := p.ways()[0]
	if p.bytes {
		p.pastEnd(ctx, h)
	}
	for _, forged := range p.forge(h) {
		o := h.read()
		o.token = forged.token
		if forged.err != nil {
			p.check(ctx, forged.name, "a forged token", func(context.Context) (string, bool, error) { return "", false, forged.err })
			continue
		}
		p.check(ctx, forged.name, forged.want(), p.refusal(w, o, forged.kinds...))
	}
	p.foreign(ctx, h)
	p.flip(ctx, h)
}

// pastEnd reaches behind the last byte, by one and by far. Nothing of it is done.
func (p *probe) pastEnd(ctx context.Context, h *held) {
	for _, w := range p.ways() {
		p.check(ctx, checkPastEnd+w.name, string(api.InvalidArgument), func(ctx context.Context) (string, bool, error) {
			for _, o := range []operation{
				{offset: h.Amount, length: 1},
				{offset: h.Amount - 1, length: 2},
				{offset: h.Amount + edge, length: 16},
				{offset: h.Amount - 1, length: 2, data: []byte("no")},
			} {
				o.lease, o.token = h.Lease, h.Token
				_, err := patiently(ctx, w, o)
				if api.KindOf(err) != api.InvalidArgument {
					return fmt.Sprintf("%d bytes at %d: %s", o.length, o.offset, say(err)), false, notTheCells(err)
				}
			}
			last := h.read()
			last.offset, last.length = h.Amount-1, 1
			b, err := patiently(ctx, w, last)
			if err != nil {
				return "the last byte: " + say(err), false, notTheCells(err)
			}
			if len(b) == 1 && b[0] == 'n' {
				return "half of a write was done", false, nil
			}
			return string(api.InvalidArgument), true, nil
		})
	}
}

// forgery is a token that this suite made.
type forgery struct {
	name  string
	token string
	kinds []api.Kind
	err   error
}

func (f forgery) want() string {
	words := make([]string, len(f.kinds))
	for i, k := range f.kinds {
		words[i] = string(k)
	}
	return strings.Join(words, " or ")
}

// forge makes tokens that say all that the good one does, signed with other keys: as this cell's agent, the
// same under the name of the cell's own key, and as another cell's.
func (p *probe) forge(h *held) []forgery {
	own, err := p.mint(p.Cell.ID, h.Lease)
	list := []forgery{{checkOtherBroker, own, []api.Kind{api.BadSignature}, err}}
	if at, its := strings.LastIndex(own, "."), strings.LastIndex(h.Token, "."); at > 0 && its > 0 {
		list = append(list, forgery{checkOtherBroker + "_under_its_name", own[:at] + h.Token[its:], []api.Kind{api.BadSignature}, nil})
	}
	const other api.CellID = "another-cell"
	l := h.Lease
	l.CellID = other
	theirs, err := p.mint(other, l)
	return append(list, forgery{checkOtherCell, theirs, []api.Kind{api.WrongAudience, api.BadSignature}, err})
}

// mint is what a broker of the given cell with a key of its own would give for the lease.
func (p *probe) mint(cell api.CellID, l api.Lease) (string, error) {
	b, err := capbroker.New(capbroker.Config{ClusterID: p.ClusterID, Cell: cell})
	if err != nil {
		return "", err
	}
	b.SetEpoch(p.Cell.Epoch)
	return b.Mint(l, leaseTime)
}

// foreign uses a second lease's token on this one. Of a kind without bytes every good token is refused as
// a foreign one is.
func (p *probe) foreign(ctx context.Context, h *held) {
	if !p.bytes || p.Free.Get(p.kind) < p.amountOf()+p.least {
		return
	}
	amount := p.amountOf() // a cell that looks at no more than the amounts is found by two that are the same
	if p.Free.Get(p.kind) < 2*amount {
		amount = p.least
	}
	other := p.leaseOf(ctx, checkLeased+"_another", amount, leaseTime, nil)
	if other == nil {
		return
	}
	for _, w := range p.ways() {
		o := h.read()
		o.token = other.Token
		p.check(ctx, checkForeign+w.name, string(api.CaveatFailed), p.refusal(w, o, api.CaveatFailed))
	}
	p.free(ctx, other)
}

// free gives a lease back and waits for its end.
func (p *probe) free(ctx context.Context, h *held) {
	p.check(ctx, checkFreed, "lease_revoked within "+hears.String(), func(ctx context.Context) (string, bool, error) {
		if err := p.Fabric.Free(ctx, h.ID); err != nil {
			return "", false, err
		}
		return p.gone(ctx, h, api.LeaseRevoked)
	})
	p.tornDown(ctx, h, checkFreed)
}

const (
	// sample is how many bytes of a token are changed where not all are, flippers how many at one time.
	sample   = 24
	flippers = 4
)

// flip changes a token, one byte at a time. Each of them is refused, for its signature or for what the
// byte made of its audience.
func (p *probe) flip(ctx context.Context, h *held) {
	step := max(len(h.Token)/sample, 1)
	if p.thorough && p.direct != nil {
		step = 1
	}
	p.check(ctx, checkFlipped, "bad_signature or wrong_audience", func(ctx context.Context) (string, bool, error) {
		at := make(chan int)
		var found sync.Map
		var workers sync.WaitGroup
		for range flippers {
			workers.Go(func() {
				for i := range at {
					o := h.read()
					o.token = flipped(h.Token, i)
					_, err := patiently(ctx, p.ways()[0], o)
					if k := api.KindOf(err); k != api.BadSignature && k != api.WrongAudience {
						found.Store(i, err)
					}
				}
			})
		}
		tried := 0
		for i := 0; i < len(h.Token) && ctx.Err() == nil; i += step {
			at <- i
			tried++
		}
		close(at)
		workers.Wait()
		got, ok := fmt.Sprintf("%d of %d bytes changed, one at a time: all refused", tried, len(h.Token)), true
		failure := ctx.Err()
		found.Range(func(i, answer any) bool {
			err, _ := answer.(error) // nil is that it was served
			got, ok = fmt.Sprintf("byte %d changed: %s", i, say(err)), false
			if failure = ctx.Err(); notTheCells(err) != nil {
				failure = err
			}
			return notTheCells(err) != nil // what the cell said counts more
		})
		return got, ok, failure
	})
}

// flipped is the token with one character changed into another one that tokens are made of.
func flipped(token string, i int) string {
	c := byte('A')
	if token[i] == c {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}
