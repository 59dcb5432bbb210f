package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// NoteRefusals puts refused admissions into the audit chain, coalesced by the leader per
// tenant, kind and second.
type NoteRefusals struct {
	Refusals []Refusal `json:"refusals"`
}

// Refusal counts the refusals of one tenant, kind and second.
type Refusal struct {
	Tenant   api.TenantID   `json:"tenant"`
	Kind     api.Kind       `json:"kind"`
	Provider api.ProviderID `json:"provider"`
	Count    int            `json:"count"`
}

// Kind returns KindNoteRefusals.
func (NoteRefusals) Kind() Kind { return KindNoteRefusals }

// apply writes the audit chain and no table.
func (c NoteRefusals) apply(s *State) (Result, *api.Error) {
	if len(c.Refusals) > MaxRefusals {
		return Result{}, api.Refuse(api.TooLarge, "%d refusals: at most %d are taken", len(c.Refusals), MaxRefusals)
	}
	kinds := api.Kinds()
	for _, r := range c.Refusals {
		if p := first(checkText("tenant", string(r.Tenant), api.MaxNameLen), checkText("provider", string(r.Provider), api.MaxNameLen)); p != nil {
			return Result{}, p
		}
		if r.Count < 1 || !slices.Contains(kinds, r.Kind) {
			return Result{}, api.Refuse(api.InvalidArgument, "a refusal of tenant %s has a count of %d or an unknown kind", r.Tenant, r.Count)
		}
	}
	for _, r := range c.Refusals {
		s.audit(auditAdmissionRefused, api.Caller{Role: api.RoleTenant, Name: string(r.Tenant)}.Actor(),
			subject{Provider: r.Provider, Tenant: r.Tenant}, r)
	}
	return Result{}, nil
}
