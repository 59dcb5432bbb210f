package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// levelKeys is the feature level from which a cell is bound to its key: before it, any
// certificate of the cell's name registers.
const levelKeys Level = 2

func (s *State) bindsKeys() bool { return s.meta.Level >= levelKeys }

// KeyBarred reports whether a key is one of a cell that was revoked.
func (v *View) KeyBarred(spki string) bool {
	_, barred := v.barred.Get(text(spki))
	return barred
}

// HoldsKey reports whether a key speaks for the cell now. The key that it was renewed from does
// too, for a while: requests under it are under way.
func (v *View) HoldsKey(c *api.CellRecord, spki string) bool {
	if spki == "" || spki == c.Identity.SPKI {
		return spki != ""
	}
	return spki == c.Previous.SPKI && v.meta.Now <= c.PreviousUntil
}

// TokenUsedAt returns when a token was used by a key, Unix seconds; 0 is that it is not known.
func (v *View) TokenUsedAt(jti, spki string) int64 {
	t, ok := v.tokens.byID.Get(jti)
	if !ok {
		return 0
	}
	if n := slices.Index(t.SPKIs, spki); n >= 0 && n < len(t.UsedAt) {
		return t.UsedAt[n]
	}
	return 0
}

// mayHold refuses a key that was barred with a cell, whatever the name that it comes under.
func (s *State) mayHold(spki string) *api.Error {
	if !s.bindsKeys() || !s.KeyBarred(spki) {
		return nil
	}
	return api.Refuse(api.IdentityRevoked, "key %.16s... belongs to a cell that was revoked, and is of no use any more", spki).
		WithHint("make another key: bootstrap the host in an empty folder, under a new cell id")
}

// Keyless reports whether any certificate of the cell's name may register: there was none before, or
// the cluster was recovered or restored since, and may have forgotten the key that the cell has now.
func (v *View) Keyless(c *api.CellRecord) bool {
	return c.Identity.SPKI == "" || c.BoundIn < v.meta.ClusterEpoch
}

// mayBind refuses to let a key speak for a cell that is bound to another one.
func (s *State) mayBind(c *api.CellRecord, id api.Identity) *api.Error {
	if !s.bindsKeys() || s.Keyless(c) || id.SPKI == c.Identity.SPKI || c.Next.SPKI != "" && id.SPKI == c.Next.SPKI {
		return nil
	}
	return api.Refuse(api.IdentityMismatch, "%s is bound to another key than that of the certificate", cellWhat(c.Provider, c.ID)).
		WithHint("bootstrap the host anew: grafos cloud bootstrap-cell --provider %s --cell-id %s", c.Provider, c.ID)
}

// bind makes id the identity of a cell; the key before it is taken a little longer.
func (s *State) bind(c *api.CellRecord, id api.Identity) {
	if s.bindsKeys() && id.SPKI != c.Identity.SPKI {
		c.Previous, c.PreviousUntil = api.Identity{}, 0
		if c.Identity.SPKI != "" {
			c.Previous, c.PreviousUntil = c.Identity, s.meta.Now+api.Tick(api.IdentityOverlap)
		}
	}
	if id.SPKI == c.Next.SPKI {
		c.Next = api.Identity{}
	}
	c.Identity = id
	if s.bindsKeys() {
		c.BoundIn = s.meta.ClusterEpoch
	}
}

// announce remembers an identity that a cell may register under in place of its own.
func (s *State) announce(id api.CellID, next api.Identity) {
	cell, known := s.Cell(id)
	if !known || cell.Next == next || cell.Identity == next || next.NotAfter == 0 && next.SPKI == cell.Identity.SPKI {
		return
	}
	cell.Next = next
	s.putCell(cell)
}
