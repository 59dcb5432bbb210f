package fsm

import "github.com/grafos/grafos/api"

// NoteRefusals is a command.
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

func (c NoteRefusals) apply(*State) (Result, *api.Error) { return Result{}, nil }
