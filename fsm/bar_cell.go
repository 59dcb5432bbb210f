package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// BarCell is the second phase of a revocation: the leader sends it when the drain has ended.
type BarCell struct {
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
	// Again bars what was barred in a state that is lost or replaced, under Keys, whatever this state
	// knows of the cell: a restore and a recovery send it. Actor does either.
	Again bool     `json:"again,omitempty"`
	Keys  []string `json:"keys,omitempty"`
	Actor string   `json:"actor,omitempty"`
}

// maxBarredKeys bounds the further keys of one cell, maxKeysOfCell all of them. A cell has three at most
// in one state.
const (
	maxBarredKeys = 64
	maxKeysOfCell = maxBarredKeys + 3
)

func (c BarCell) level() Level {
	if c.Again || len(c.Keys) > 0 || c.Actor != "" {
		return levelKeys
	}
	return 1
}

// Kind returns KindBarCell.
func (BarCell) Kind() Kind { return KindBarCell }

// apply refuses with conflict while leases remain, and for a cell whose revocation has not
// begun; an unknown cell with not_found. Barring a barred cell changes nothing.
func (c BarCell) apply(s *State) (Result, *api.Error) {
	if p := checkCellName(c.Provider, c.Cell); p != nil {
		return Result{}, p
	}
	if c.Again {
		return c.again(s)
	}
	cell, ok := s.Cell(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return Result{}, api.Refuse(api.NotFound, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	if cell.Revoked {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	if !cell.Revoking {
		return Result{}, api.Refuse(api.Conflict, "%s is not being revoked", cellWhat(c.Provider, c.Cell))
	}
	if n := s.LeaseCount(c.Cell); n > 0 {
		return Result{}, api.Refuse(api.Conflict, "%s still has %d leases that have not ended", cellWhat(c.Provider, c.Cell), n)
	}
	s.bar(cell, scheduler, cellFact{Provider: c.Provider, Cell: c.Cell, Epoch: cell.Epoch})
	return Result{CellEpoch: cell.Epoch}, nil
}

// again leaves a revoked record, also where there was none, and ends the cell's leases.
func (c BarCell) again(s *State) (Result, *api.Error) {
	if p := c.checkAgain(); p != nil {
		return Result{}, p
	}
	if _, known := s.Provider(c.Provider); !known {
		s.putProvider(api.Provider{ID: c.Provider, Ownership: api.OwnedByCustomer, Since: s.Wall()})
	}
	cell, known := s.Cell(c.Cell)
	if !known {
		cell = api.CellRecord{ID: c.Cell, Provider: c.Provider, Mode: api.ModeAccepting, CreatedAt: s.Wall()}
	}
	own := cell.Keys()
	var more []string
	for _, key := range c.Keys {
		if key != "" && !slices.Contains(own, key) && !slices.Contains(more, key) {
			more = append(more, key)
		}
	}
	if cell.Revoked && len(more) == 0 {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	cell.BarredKeys = append(slices.Clone(cell.BarredKeys), more...)
	var gone []string
	if over := len(cell.BarredKeys) - maxBarredKeys; over > 0 {
		gone, cell.BarredKeys = cell.BarredKeys[:over], cell.BarredKeys[over:]
	}
	s.bar(cell, c.Actor, cellFact{
		Provider: cell.Provider, Cell: cell.ID, Epoch: cell.Epoch, Leases: s.LeaseCount(c.Cell), Reason: "it was revoked before the state was replaced",
	})
	for _, l := range s.LeasesOn(c.Cell) {
		s.revoke(l.ID, 0, ReasonCellRevoked, c.Actor, "")
	}
	s.unbar(gone)
	return Result{CellEpoch: cell.Epoch}, nil
}

// unbar forgets keys that a cell's record has no room for any more, as a state that is built from the
// records would: but for those that another record has.
func (s *State) unbar(keys []string) {
	if len(keys) == 0 {
		return
	}
	kept := map[string]bool{}
	s.cells.Scan(func(_ api.CellID, c api.CellRecord) bool {
		if c.Revoked {
			for _, key := range c.Keys() {
				kept[key] = true
			}
		}
		return true
	})
	for _, key := range keys {
		if !kept[key] {
			s.own().barred.Delete(s.edit, text(key))
		}
	}
}

func (c BarCell) checkAgain() *api.Error {
	if len(c.Keys) > maxKeysOfCell {
		return api.Refuse(api.TooLarge, "%s has %d barred keys: at most %d", cellWhat(c.Provider, c.Cell), len(c.Keys), maxKeysOfCell)
	}
	for _, key := range c.Keys {
		if p := checkText("key", key, maxKeyHex); p != nil {
			return p
		}
	}
	return checkText("actor", c.Actor, maxActor)
}

// byAge lists the keys of a revoked cell, those of lost states first: the last are those that it had when it
// was revoked, and the last to be forgotten.
func byAge(c *api.CellRecord) []string {
	keys := slices.Clone(c.BarredKeys)
	for _, own := range []string{c.Previous.SPKI, c.Next.SPKI, c.Identity.SPKI} {
		if own != "" && !slices.Contains(keys, own) {
			keys = append(keys, own)
		}
	}
	return keys
}

// Revocations lists the revoked cells, as they are to be barred in another state.
func (v *View) Revocations(actor string) []BarCell {
	var list []BarCell
	v.cells.each(func(c *api.CellRecord) {
		if c.Revoked {
			list = append(list, BarCell{Provider: c.Provider, Cell: c.ID, Again: true, Keys: byAge(c), Actor: actor})
		}
	})
	return list
}

// Forgets reports whether the view does not have a revocation, or not all of its keys.
func (v *View) Forgets(b BarCell) bool {
	c, known := v.cells.at(b.Cell)
	if !known || !c.Revoked {
		return true
	}
	return slices.ContainsFunc(b.Keys, func(key string) bool { return key != "" && !v.KeyBarred(key) })
}
