package attest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/jwks"
)

// googleIssuer signs the instance identity tokens.
const googleIssuer = "https://accounts.google.com"

// gcpClaims is what is read of an instance identity token of format=full.
type gcpClaims struct {
	jwt.Claims

	Google struct {
		Engine struct {
			Project  string `json:"project_id"`
			Zone     string `json:"zone"`
			Instance string `json:"instance_id"`
		} `json:"compute_engine"`
	} `json:"google"`
}

func verifyGCP(ctx context.Context, text string, roots Roots, b Binding, now time.Time) (api.Evidence, error) {
	t, err := jwks.ParseToken(strings.TrimSpace(text), api.MaxEvidence)
	if err != nil {
		return api.Evidence{}, fmt.Errorf("the token %w", err)
	}
	if t.Algorithm() != "RS256" || t.KeyID() == "" {
		return api.Evidence{}, fmt.Errorf("the token is signed with algorithm %.20q and key %.64q: Google signs with RS256, and names the key", t.Algorithm(), t.KeyID())
	}
	if roots.Keys == nil {
		return api.Evidence{}, errors.New("no keys of Google are configured")
	}
	key, err := roots.Keys.Key(ctx, t.KeyID())
	if err != nil {
		return api.Evidence{}, err
	}
	var c gcpClaims
	if err := t.Verify(key, &c); err != nil {
		return api.Evidence{}, fmt.Errorf("the token %w", err)
	}
	if err := checkGCP(c.Claims, now); err != nil {
		return api.Evidence{}, err
	}
	if want := b.Audience(); len(c.Audience) != 1 || c.Audience[0] != want {
		return api.Evidence{}, &UnboundError{What: "audience", Got: strings.Join(c.Audience, " "), Want: want}
	}
	at := c.Google.Engine
	if at.Instance == "" {
		return api.Evidence{}, errors.New("the token says nothing of an instance: ask the metadata service with format=full")
	}
	region, _, _ := cutLast(at.Zone)
	return api.Evidence{
		Kind: api.EvidenceGCP, Account: at.Project, Instance: at.Instance, Region: region, Zone: at.Zone, Issued: c.IssuedAt.Time().UTC(),
	}, nil
}

func checkGCP(c jwt.Claims, now time.Time) error {
	if c.Issuer != googleIssuer {
		return fmt.Errorf("the token is of issuer %.100q, not %s", c.Issuer, googleIssuer)
	}
	if c.Expiry == nil || c.IssuedAt == nil {
		return errors.New("the token does not say when it was issued and when it ends")
	}
	if end := c.Expiry.Time(); !now.Before(end) {
		return fmt.Errorf("the token expired %s ago", now.Sub(end).Truncate(time.Second))
	}
	if ahead := c.IssuedAt.Time().Sub(now); ahead > ClockTolerance {
		return fmt.Errorf("the token was issued %s in the future: compare the clocks", ahead.Truncate(time.Second))
	}
	return nil
}

// cutLast takes the zone's letter off: europe-west1-b is in europe-west1.
func cutLast(zone string) (region, letter string, ok bool) {
	n := strings.LastIndexByte(zone, '-')
	if n < 0 {
		return "", "", false
	}
	return zone[:n], zone[n+1:], true
}
