package fsm

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
)

// What a cloud says of a host is kept beside the tokens that were used: under the instance for ever,
// since it vouches for one cell only, and under the key until that registers.
const (
	purposeInstance = "instance"
	purposeAttested = "attested"
)

// attestedFor is for how long a key that was attested may take to register: a certificate lives a day,
// and can be renewed for a week more.
const attestedFor = 8 * 24 * time.Hour

// instanceID is the name under which it is kept for which cell an instance vouched.
func instanceID(e *api.Evidence) string {
	sum := sha256.Sum256([]byte(string(e.Kind) + "\n" + e.Account + "\n" + e.Instance))
	return purposeInstance + "-" + hex.EncodeToString(sum[:])
}

func attestedID(spki string) string { return purposeAttested + "-" + spki }

// Attested reports whether a cloud vouched for the key when it was bootstrapped as that of the cell.
func (v *View) Attested(p api.ProviderID, cell api.CellID, spki string) bool {
	t, ok := v.Token(attestedID(spki))
	return ok && t.of(p, cell)
}

// of reports whether what a cloud proved is of a cell, as one of that provider: another's policy may ask
// for more.
func (r *TokenRecord) of(p api.ProviderID, cell api.CellID) bool {
	return r.Provider == p && r.Cell == cell
}

// mayVouch refuses an instance that vouched for another cell. A document without a nonce says nothing of
// the key that it comes with: who got hold of one makes no second cell of it.
func (c UseToken) mayVouch(s *State) *api.Error {
	if c.Evidence == (api.Evidence{}) {
		return nil
	}
	t, ok := s.Token(instanceID(&c.Evidence))
	if !ok || t.of(c.Provider, c.Cell) {
		return nil
	}
	p := api.Refuse(api.AttestationFailed, "instance %s of %s account %s vouched for cell %s of provider %s already: an instance vouches for one cell, for ever",
		c.Evidence.Instance, c.Evidence.Kind, c.Evidence.Account, t.Cell, t.Provider).
		WithHint("bootstrap it as that cell, or start another instance")
	p.Reason = api.AttestationUsed
	return p
}

// attest remembers what the cloud proved, for the key and for the instance.
func (c UseToken) attest(s *State) {
	if c.Evidence == (api.Evidence{}) || s.Attested(c.Provider, c.Cell, c.SPKI) {
		return
	}
	e := c.Evidence
	e.Attested = s.Wall()
	r := TokenRecord{
		JTI: instanceID(&e), Purpose: purposeInstance, SPKIs: []string{c.SPKI}, Uses: 1, Provider: c.Provider, Cell: c.Cell, Evidence: e,
		KeepTill: math.MaxInt64,
	}
	s.putToken(r)
	r.JTI, r.Purpose, r.SPKIs, r.KeepTill = attestedID(c.SPKI), purposeAttested, slices.Clone(r.SPKIs), s.meta.Now+api.Tick(attestedFor)
	if old, ok := s.Token(r.JTI); ok {
		r.KeepTill = old.KeepTill // it never changes
	}
	s.putToken(r)
}

// attestation is what is proved of a cell under a key: what was when that was bootstrapped, or what was
// proved of the cell before where the key is its own or a renewal of it.
func (s *State) attestation(c *api.CellRecord, id api.Identity) api.Evidence {
	if t, ok := s.Token(attestedID(id.SPKI)); ok && t.of(c.Provider, c.ID) {
		return t.Evidence
	}
	if id.SPKI == c.Identity.SPKI || id.SPKI == c.Next.SPKI && c.Next.NotAfter > 0 {
		return c.Attestation
	}
	return api.Evidence{}
}

func checkEvidence(e *api.Evidence) *api.Error {
	if *e == (api.Evidence{}) {
		return nil
	}
	return first(
		checkID("evidence kind", string(e.Kind)), checkID("account", e.Account), checkText("instance", e.Instance, maxMessage),
		checkText("region", e.Region, maxMessage), checkText("zone", e.Zone, maxMessage), checkText("image", e.Image, maxMessage),
	)
}
