package capbroker

import (
	"encoding/json"
	"strings"
	"time"

	"aidanwoods.dev/go-paseto"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/capbroker/holder"
)

// Verify takes a token of this broker and returns what it says. The checks, in order: size
// (too_large), form, key, signature and links (bad_signature), audience (wrong_audience), time
// (token_expired), registration of the cell (stale_epoch). A token that another cell's key
// signed says so itself and is refused with wrong_audience.
//
// What was proved of a token is remembered for its next use; nothing that may change is: time
// and registration are looked at each time. What Verify returns was true when the token was
// minted; its Standing, Confirm and Allow say whether it still is.
func (b *Broker) Verify(token string) (*Verified, error) {
	v := b.cache.find(token)
	if v == nil {
		var err error
		if v, err = b.prove(token); err != nil {
			return nil, err
		}
		b.cache.keep(v)
	}
	if err := v.checkTime(b.now()); err != nil {
		return nil, err
	}
	if epoch := b.epoch.Load(); v.CellEpoch != epoch {
		return nil, api.Refuse(api.StaleEpoch, "the capability token is of registration %d of cell %s, which is in registration %d", v.CellEpoch, b.cell, epoch).
			WithHint("ask for a fresh one with: grafos lease token %s", v.LeaseID)
	}
	return v, nil
}

// prove checks what never changes of a token.
func (b *Broker) prove(token string) (*Verified, error) {
	root, links, err := holder.Cut(token)
	if err != nil {
		return nil, err
	}
	if len(root) > MaxToken {
		return nil, api.Refuse(api.TooLarge, "the capability token is %d bytes long: at most %d", len(root), MaxToken)
	}
	parser := paseto.NewParserWithoutExpiryCheck() // time comes last, with this broker's clock
	if err := b.checkKey(parser, root); err != nil {
		return nil, err
	}
	t, err := parser.ParseV4Public(b.public, root, b.implicit)
	if err != nil {
		return nil, b.signatureFault(root, err)
	}
	claims, err := decodeBody(t.ClaimsJSON())
	if err != nil {
		return nil, err
	}
	if claims.Audience != b.audience || claims.Issuer != string(b.cell) {
		return nil, wrongAudience(claims.Audience, b.cell)
	}
	if links > 0 {
		if claims.Links, claims.Holder, err = holder.Links(token, claims.Holder); err != nil {
			return nil, err
		}
	}
	return &Verified{Claims: claims, broker: b, text: strings.Clone(token)}, nil // it may be part of something large
}

// clockStep is how far the clock may be set back between minting and verifying; more would
// lengthen the token's life.
const clockStep = time.Second

func (c Claims) checkTime(now time.Time) error {
	if !now.Before(c.ExpiresAt) && !mutant.On(mutant.ServeLate) {
		return api.Refuse(api.TokenExpired, "the capability token of lease %s expired %s ago", c.LeaseID, span(now.Sub(c.ExpiresAt))).
			WithHint("ask for a fresh one with: grafos lease token %s", c.LeaseID)
	}
	if now.Add(clockStep).Before(c.NotBefore) {
		return api.Refuse(api.TokenExpired, "the capability token of lease %s was issued %s in the future: the cell's clock was set back",
			c.LeaseID, span(c.NotBefore.Sub(now))).WithHint("ask for a fresh one with: grafos lease token %s", c.LeaseID)
	}
	for _, l := range c.Links {
		if !l.ExpiresAt.IsZero() && !now.Before(l.ExpiresAt) {
			return api.Refuse(api.TokenExpired, "the narrowed capability token of lease %s expired %s ago", c.LeaseID, span(now.Sub(l.ExpiresAt))).
				WithHint("ask who narrowed it for another one")
		}
	}
	return nil
}

// checkKey reads which key a token names, before anything is paid for its signature, and tells
// a token for another cell, or of an earlier process of this one, from one that is no token.
// What it reads for that is not proved; the answer is no either way.
func (b *Broker) checkKey(parser paseto.Parser, token string) error {
	open, err := parser.UnsafeParseFooter(paseto.V4Public, token)
	if err != nil {
		return api.Refuse(api.BadSignature, "that is not a capability token: %v", err)
	}
	var f footer
	if err := json.Unmarshal(open, &f); err != nil || f.KeyID == "" {
		return api.Refuse(api.BadSignature, "the capability token names no key")
	}
	if f.KeyID == b.kid {
		return nil
	}
	if aud := unverifiedAudience(token); aud != "" && aud != b.audience {
		return wrongAudience(aud, b.cell)
	}
	return api.Refuse(api.BadSignature, "the capability token was signed with key %.40q, this cell's agent has key %s", f.KeyID, b.kid).
		WithHint("the agent was restarted, which voids its tokens: ask for a fresh one with: grafos lease token")
}

// signatureFault tells why a token under this broker's key does not verify.
func (b *Broker) signatureFault(token string, cause error) error {
	if aud := unverifiedAudience(token); aud != "" && aud != b.audience {
		return wrongAudience(aud, b.cell)
	}
	return api.Refuse(api.BadSignature, "the capability token does not verify: %v", cause)
}

func wrongAudience(got string, cell api.CellID) error {
	return api.Refuse(api.WrongAudience, "the capability token is for cell %.80q, this is the data plane of cell %s", strings.TrimSuffix(got, dataPlane), cell)
}
