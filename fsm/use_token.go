package fsm

import (
	"slices"
	"time"

	"github.com/grafos/grafos/api"
)

// The purposes of tokens of limited use.
const (
	PurposeBootstrap = "bootstrap"
	PurposeLogin     = "login"
)

// UseToken spends one use of a token, before what it opens is handed out. The scheduler has
// verified the token already; the state machine counts.
type UseToken struct {
	Actor    string         `json:"actor"`
	JTI      string         `json:"jti"`
	Purpose  string         `json:"purpose"`
	Uses     int            `json:"uses"`    // how many the token allows
	Expires  int64          `json:"expires"` // Unix seconds, as the token says
	Provider api.ProviderID `json:"provider,omitempty"`
	Cell     api.CellID     `json:"cell_id,omitempty"`
	SPKI     string         `json:"spki,omitempty"` // the key that uses it
	// Issuer is who else made the token; "" is this cluster. It came with level 2.
	Issuer string `json:"issuer,omitempty"`
	// Evidence is what the cloud of the key's host proved. It came with level 2.
	Evidence api.Evidence `json:"evidence,omitzero"`
}

// tokenFact is what the audit chain says of a use.
type tokenFact struct {
	JTI      string         `json:"jti"`
	Purpose  string         `json:"purpose"`
	Use      int            `json:"use"`
	Uses     int            `json:"uses"`
	Provider api.ProviderID `json:"provider,omitempty"`
	Cell     api.CellID     `json:"cell_id,omitempty"`
	SPKI     string         `json:"spki,omitempty"`
	Issuer   string         `json:"issuer,omitempty"`
	Evidence api.Evidence   `json:"evidence,omitzero"`
}

// Kind returns KindUseToken.
func (UseToken) Kind() Kind { return KindUseToken }

func (c UseToken) level() Level {
	if c.Issuer != "" || c.Evidence != (api.Evidence{}) {
		return 2
	}
	return 1
}

// apply answers the same key again with Replayed, since its answer may have been lost; the
// same key is the same use. It refuses a token whose uses are spent with bootstrap_token_used,
// a revoked cell with identity_revoked, an unknown provider with not_found, a cell id that is another
// provider's with identity_mismatch, and the evidence of an instance that vouched for another cell
// with attestation_failed.
func (c UseToken) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	if c.Purpose == PurposeBootstrap {
		if p := first(s.mayJoin(c.Provider, c.Cell), s.mayHold(c.SPKI), c.mayVouch(s)); p != nil {
			return Result{}, p
		}
	}
	t, ok := s.Token(c.JTI)
	if !ok {
		t = TokenRecord{JTI: c.JTI, Purpose: c.Purpose, Uses: c.Uses, Expires: c.Expires, KeepTill: s.keepTill(c.Expires)}
	}
	if t.Purpose != c.Purpose {
		return Result{}, api.Refuse(api.BootstrapTokenInvalid, "token %s is for %s, not for %s", c.JTI, t.Purpose, c.Purpose)
	}
	if c.SPKI != "" && slices.Contains(t.SPKIs, c.SPKI) {
		c.announce(s)
		c.attest(s)
		return Result{Replayed: true}, nil
	}
	if len(t.SPKIs) >= t.Uses {
		return Result{}, api.Refuse(api.BootstrapTokenUsed, "token %s was used %d of %d times already, by other keys", c.JTI, len(t.SPKIs), t.Uses).
			WithHint("mint another token, or use the key that was used with this one")
	}
	t.SPKIs = append(slices.Clone(t.SPKIs), c.SPKI)
	if s.bindsKeys() {
		used := make([]int64, len(t.SPKIs)) // 0 for a use of before, whose time nobody noted
		copy(used, t.UsedAt)
		used[len(used)-1] = s.meta.Wall / 1000
		t.UsedAt = used
	}
	s.putToken(t)
	c.announce(s)
	c.attest(s)
	s.audit(auditTokenUsed, c.Actor, subject{Provider: c.Provider, Cell: c.Cell}, tokenFact{
		JTI: c.JTI, Purpose: c.Purpose, Use: len(t.SPKIs), Uses: t.Uses, Provider: c.Provider, Cell: c.Cell, SPKI: c.SPKI,
		Issuer: c.Issuer, Evidence: c.Evidence,
	})
	return Result{}, nil
}

// announce has the key take the place of the one that a registered cell has, as soon as it registers.
func (c UseToken) announce(s *State) {
	if c.Purpose == PurposeBootstrap && s.bindsKeys() {
		s.announce(c.Cell, api.Identity{SPKI: c.SPKI})
	}
}

// keepTill returns when a token's record may be forgotten: a day of cluster time after its
// expiry. Cluster time never runs faster than real time, so that a clock which is set ahead
// cannot make a used token usable again.
func (s *State) keepTill(expires int64) api.Tick {
	const most = int64(10 * 365 * 24 * time.Hour / time.Second)
	left := min(max(expires-s.meta.Wall/1000, 0), most)
	return s.meta.Now + api.Tick(time.Duration(left)*time.Second) + api.Tick(24*time.Hour)
}

// mayJoin refuses what may not become or be a cell of the provider.
func (s *State) mayJoin(p api.ProviderID, id api.CellID) *api.Error {
	if _, ok := s.Provider(p); !ok {
		return api.Refuse(api.NotFound, "provider %s is not configured on this cluster", p)
	}
	cell, ok := s.Cell(id)
	if !ok {
		return nil
	}
	if cell.Provider != p {
		return api.Refuse(api.IdentityMismatch, "cell id %s belongs to provider %s, not to %s", id, cell.Provider, p).
			WithHint("a cell id is unique in the whole cluster: choose another")
	}
	if cell.Revoked {
		return api.Refuse(api.IdentityRevoked, "%s was revoked and never registers again", cellWhat(p, id)).
			WithHint("bootstrap the host under a new cell id")
	}
	return nil
}

func (c UseToken) check() *api.Error {
	if p := first(checkText("actor", c.Actor, maxActor), checkID("token id", c.JTI), checkText("spki", c.SPKI, maxKeyHex), checkText("issuer", c.Issuer, maxURL)); p != nil {
		return p
	}
	if c.Uses < 1 || c.Uses > MaxTokenUses {
		return api.Refuse(api.InvalidArgument, "uses is %d: it must be from 1 to %d", c.Uses, MaxTokenUses)
	}
	switch c.Purpose {
	case PurposeBootstrap:
		if c.SPKI == "" {
			return api.Refuse(api.InvalidArgument, "spki is empty: a bootstrap token is used by a key")
		}
		return first(checkCellName(c.Provider, c.Cell), checkEvidence(&c.Evidence))
	case PurposeLogin:
		return nil
	}
	return api.Refuse(api.InvalidArgument, "purpose is neither %s nor %s", PurposeBootstrap, PurposeLogin)
}
