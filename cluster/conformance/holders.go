package conformance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// newKey makes a holder's key.
func newKey() (*holder.Key, error) {
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a holder's key: %w", err)
	}
	return holder.NewKey(secret)
}

// holders proves that a lease which names its holder's key is of use to nobody else, and that a narrowed
// token gives no more than is left of it.
func (p *probe) holders(ctx context.Context) {
	key, err := newKey()
	if err != nil {
		p.cancel(api.Problem(err))
		return
	}
	thief, err := newKey()
	if err != nil {
		p.cancel(api.Problem(err))
		return
	}
	h := p.lease(ctx, checkLeased+"_for_a_holder", leaseTime, key)
	if h == nil {
		return
	}
	if p.bytes {
		p.wiped(ctx, h)
	}
	for _, w := range p.ways() {
		p.check(ctx, checkUnproved+w.name, string(api.Unauthenticated), p.refusal(w, h.read(), api.Unauthenticated))
		p.check(ctx, checkWrongKey+w.name, string(api.BadSignature), p.proven(w, thief, h.read(), h.read(), api.BadSignature))
		other := h.read()
		other.length--
		p.check(ctx, checkOtherProof+w.name, string(api.BadSignature), p.proven(w, key, other, h.read(), api.BadSignature))
		p.check(ctx, checkProved+w.name, p.takenAs()+", and unauthenticated when it is repeated", p.replay(w, key, h.read()))
	}
	if p.bytes {
		p.narrow(ctx, h, key, thief)
	}
	p.free(ctx, h)
}

// prove makes the proof of an operation under a nonce that the cell gives.
func prove(ctx context.Context, w way, key *holder.Key, o operation) (string, error) {
	bare := o
	bare.proof = ""
	_, err := patiently(ctx, w, bare)
	if notTheCells(err) != nil {
		return "", err
	}
	nonce := api.Problem(err)
	if nonce == nil || nonce.Nonce == "" {
		return "", api.Refuse(api.Internal, "the cell gave no nonce for a proof: %s", say(err))
	}
	return key.Prove(o.request(), nonce.Nonce)
}

// proven is a look at an operation under a proof of another one, or of another's.
func (p *probe) proven(w way, key *holder.Key, of, o operation, kinds ...api.Kind) look {
	return func(ctx context.Context) (string, bool, error) {
		proof, err := prove(ctx, w, key, of)
		if err != nil {
			return "", false, err
		}
		o.proof = proof
		return p.refusal(w, o, kinds...)(ctx)
	}
}

// replay is a look at an operation under its proof, and at the same once more.
func (p *probe) replay(w way, key *holder.Key, o operation) look {
	return func(ctx context.Context) (string, bool, error) {
		proof, err := prove(ctx, w, key, o)
		if err != nil {
			return "", false, err
		}
		o.proof = proof
		if got, ok, err := p.acceptance(w, o)(ctx); !ok || err != nil {
			return got, false, err
		}
		_, err = w.do(ctx, o)
		return "repeated: " + say(err), api.KindOf(err) == api.Unauthenticated, notTheCells(err)
	}
}

// narrow takes rights away and tries to get them back.
func (p *probe) narrow(ctx context.Context, h *held, key, thief *holder.Key) {
	w := p.ways()[0]
	less := holder.Link{Caveats: holder.Caveats{Ops: []string{"read"}, Offset: edge, Length: edge}}
	more := holder.Link{Caveats: holder.Caveats{Ops: []string{"read", "write"}, Length: h.Amount}}
	use := func(token string, offset int64, data []byte) operation {
		o := operation{lease: h.Lease, token: token, offset: offset, length: 16, data: data}
		return o
	}
	once, err := key.Narrow(h.Token, less)
	if err != nil { // the token is the cell's
		p.check(ctx, checkNarrowed, "a token that can be narrowed", func(context.Context) (string, bool, error) { return "", false, err })
		return
	}
	within := func(ctx context.Context, o operation) (string, bool, error) {
		if o.proof, err = prove(ctx, w, key, o); err != nil {
			return "", false, err
		}
		return p.acceptance(w, o)(ctx)
	}
	p.check(ctx, checkNarrowed, "served within, caveat_failed without", func(ctx context.Context) (string, bool, error) {
		if got, ok, err := within(ctx, use(once, edge, nil)); !ok || err != nil {
			return "within: " + got, false, err
		}
		got, ok, err := p.proven(w, key, use(once, 0, nil), use(once, 0, nil), api.CaveatFailed)(ctx)
		return "without: " + got, ok, err
	})
	p.check(ctx, checkWidened, string(api.CaveatFailed), func(ctx context.Context) (string, bool, error) {
		wide, err := key.Narrow(once, more)
		if err != nil {
			return "", false, err
		}
		for _, o := range []operation{use(wide, 0, nil), use(wide, edge, []byte("0123456789abcdef"))} {
			if got, ok, err := p.proven(w, key, o, o, api.CaveatFailed)(ctx); !ok || err != nil {
				return got, false, err
			}
		}
		return string(api.CaveatFailed), true, nil
	})
	p.check(ctx, checkForgedLink, string(api.BadSignature), func(ctx context.Context) (string, bool, error) {
		forged, err := thief.Narrow(h.Token, holder.Link{Holder: thief.Thumbprint()})
		if err != nil {
			return "", false, err
		}
		return p.refusal(w, use(forged, 0, nil), api.BadSignature)(ctx)
	})
	p.check(ctx, checkTooDeep, string(api.CaveatFailed), func(ctx context.Context) (string, bool, error) {
		deep, err := tooDeep(key, h.Token)
		if err != nil {
			return "", false, err
		}
		return p.refusal(w, use(deep, 0, nil), api.CaveatFailed)(ctx)
	})
}

// tooDeep has one link more than a token may have. It is one that stands there already, since a holder's
// tools make no more: a cell that does not count says bad_signature.
func tooDeep(key *holder.Key, token string) (string, error) {
	var err error
	last := ""
	for range holder.MaxLinks {
		before := len(token)
		if token, err = key.Narrow(token, holder.Link{}); err != nil {
			return "", err
		}
		last = token[before:]
	}
	return token + last, nil
}
