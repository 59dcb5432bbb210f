package capbroker

import (
	"encoding/json"
	"time"

	"aidanwoods.dev/go-paseto"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// Verify takes a token of this broker and returns what it says. The checks, in order: size
// (too_large), form and signature (bad_signature), audience (wrong_audience), time
// (token_expired). A token that another cell's key signed says so itself and is refused
// with wrong_audience.
//
// What Verify returns was true when the token was minted; Claims.Check says whether it
// still is.
func (b *Broker) Verify(token string) (Claims, error) {
	if len(token) > MaxToken {
		return Claims{}, api.Refuse(api.TooLarge, "the capability token is %d bytes long: at most %d", len(token), MaxToken)
	}
	parser := paseto.NewParserWithoutExpiryCheck() // time comes last, with this broker's clock
	t, err := parser.ParseV4Public(b.public, token, b.implicit)
	if err != nil {
		return Claims{}, b.signatureFault(parser, token, err)
	}
	claims, err := decodeBody(t.ClaimsJSON())
	if err != nil {
		return Claims{}, api.Refuse(api.BadSignature, "the capability token is not one of ours: %v", err)
	}
	if claims.Audience != string(b.cell) {
		return Claims{}, wrongAudience(claims.Audience, b.cell)
	}
	if err := checkTime(claims, b.now()); err != nil {
		return Claims{}, err
	}
	return claims.claims(), nil
}

// clockStep is how far the clock may be set back between minting and verifying; more would
// lengthen the token's life.
const clockStep = time.Second

func checkTime(b body, now time.Time) error {
	if !now.Before(b.ExpiresAt) && !mutant.On(mutant.ServeLate) {
		return api.Refuse(api.TokenExpired, "the capability token of lease %s expired %s ago", b.LeaseID, span(now.Sub(b.ExpiresAt))).
			WithHint("ask for a fresh one with: grafos lease token %s", b.LeaseID)
	}
	if now.Add(clockStep).Before(b.IssuedAt) {
		return api.Refuse(api.TokenExpired, "the capability token of lease %s was issued %s in the future: the cell's clock was set back",
			b.LeaseID, span(b.IssuedAt.Sub(now))).WithHint("ask for a fresh one with: grafos lease token %s", b.LeaseID)
	}
	return nil
}

// signatureFault tells a token for another cell, or of an earlier process of this one, from
// one that is forged or damaged. What it reads for that is not proved; the answer is no
// either way.
func (b *Broker) signatureFault(parser paseto.Parser, token string, cause error) error {
	// ParseV4Public has split the token and checked its form before it looked at the
	// signature, so a footer that can be read means that the signature is what failed.
	open, err := parser.UnsafeParseFooter(paseto.V4Public, token)
	if err != nil {
		return api.Refuse(api.BadSignature, "that is not a capability token: %v", err)
	}
	var f footer
	if err := json.Unmarshal(open, &f); err != nil || f.KeyID == "" {
		return api.Refuse(api.BadSignature, "the capability token names no key")
	}
	if aud := unverifiedAudience(token); aud != "" && aud != string(b.cell) {
		return wrongAudience(aud, b.cell)
	}
	if f.KeyID != b.kid {
		return api.Refuse(api.BadSignature, "the capability token was signed with key %.40q, this cell's agent has key %s", f.KeyID, b.kid).
			WithHint("the agent was restarted, which voids its tokens: ask for a fresh one with: grafos lease token")
	}
	return api.Refuse(api.BadSignature, "the capability token does not verify: %v", cause)
}

func wrongAudience(got string, cell api.CellID) error {
	return api.Refuse(api.WrongAudience, "the capability token is for cell %.80q, this is cell %s", got, cell)
}
