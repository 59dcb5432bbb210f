package fsm

import "github.com/grafos/grafos/api"

// ChangeHealth commits what the leader observed of cells: transitions only, in batches.
type ChangeHealth struct {
	Changes []HealthChange `json:"changes"`
}

// HealthChange is what the leader observed of one cell. A condition that is nil stays as it is.
type HealthChange struct {
	Cell          api.CellID     `json:"cell_id"`
	Epoch         uint64         `json:"cell_epoch"`
	IdentityBound *api.Condition `json:"identity_bound,omitempty"`
	Healthy       *api.Condition `json:"healthy_cell,omitempty"`
	Outbound      *api.Condition `json:"outbound_registered,omitempty"`
}

// Kind returns KindChangeHealth.
func (ChangeHealth) Kind() Kind { return KindChangeHealth }

// apply drops what is about another epoch, an unknown cell or a revoked one: the leader
// observed an agent that is no longer the cell.
func (c ChangeHealth) apply(s *State) (Result, *api.Error) {
	if len(c.Changes) > MaxChanges {
		return Result{}, api.Refuse(api.TooLarge, "%d health changes: at most %d are taken", len(c.Changes), MaxChanges)
	}
	for _, h := range c.Changes {
		for _, cond := range []*api.Condition{h.IdentityBound, h.Healthy, h.Outbound} {
			if p := checkCondition(cond); p != nil {
				return Result{}, p
			}
		}
	}
	silent := map[api.ProviderID]int{}
	var order []api.ProviderID
	for _, h := range c.Changes {
		cell, ok := s.Cell(h.Cell)
		if !ok || cell.Epoch != h.Epoch || cell.Revoked {
			continue
		}
		if h.Healthy != nil && h.Healthy.Code == CodeMassSilence && cell.Healthy.Code != CodeMassSilence {
			if silent[cell.Provider]++; silent[cell.Provider] == 1 {
				order = append(order, cell.Provider)
			}
		}
		changed := adopt(&cell.IdentityBound, h.IdentityBound)
		changed = adopt(&cell.Healthy, h.Healthy) || changed
		changed = adopt(&cell.Outbound, h.Outbound) || changed
		if changed {
			s.putCell(cell)
		}
	}
	if s.meta.Level >= levelSilence {
		for _, p := range order {
			s.event(eventMassSilence, scheduler, subject{Provider: p}, silenceFact{Provider: p, Cells: silent[p]})
		}
	}
	return Result{}, nil
}

// levelSilence is the feature level from which mass silence is an event.
const levelSilence Level = 2

// silenceFact is what the event of mass silence says.
type silenceFact struct {
	Provider api.ProviderID `json:"provider"`
	Cells    int            `json:"cells"`
}

// SilentProviders names the providers of which cells are in mass silence; a cell that was taken out of
// service is no evidence of one.
func (v *View) SilentProviders() map[api.ProviderID]int {
	silent := map[api.ProviderID]int{}
	v.cells.Scan(func(_ api.CellID, c api.CellRecord) bool {
		out := c.Revoked || c.Mode == api.ModeDrained || c.Mode == api.ModeMaintenance
		if !out && !c.Healthy.Met && c.Healthy.Code == CodeMassSilence {
			silent[c.Provider]++
		}
		return true
	})
	return silent
}

func checkCondition(c *api.Condition) *api.Error {
	if c == nil {
		return nil
	}
	return first(checkText("condition code", c.Code, maxCode), checkText("condition message", c.Message, maxMessage))
}

// adopt replaces a condition and reports whether that changed it.
func adopt(old, seen *api.Condition) bool {
	if seen == nil || *seen == *old {
		return false
	}
	*old = *seen
	return true
}
