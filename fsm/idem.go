package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// keepKeys is for how long, in cluster time, an idempotency key is kept.
const keepKeys = api.Tick(24 * time.Hour)

// Idem makes repeating a command harmless. An empty Key is no idempotency.
type Idem struct {
	Scope string `json:"scope,omitempty"` // the tenant whose key it is
	Key   string `json:"key,omitempty"`
	Hash  string `json:"hash,omitempty"` // of the request: a key belongs to one
}

// idempotent is a command that may carry a key.
type idempotent interface {
	idem() Idem
}

// replay answers a command whose key was seen before: with the stored outcome when the
// request is the same one, with conflict when it is another. done is false for a new key.
func (s *State) replay(k Kind, i Idem) (res Result, problem *api.Error, done bool) {
	if p := first(checkText("idempotency scope", i.Scope, maxScope), checkText("idempotency key", i.Key, api.MaxKeyLen),
		checkText("request hash", i.Hash, maxHash)); p != nil {
		return Result{}, p, true
	}
	if i.Key == "" {
		return Result{}, nil, false
	}
	old, ok := s.IdemKey(i.Scope, i.Key)
	if !ok {
		return Result{}, nil, false
	}
	if old.Hash != i.Hash || old.Kind != k {
		return Result{}, api.Refuse(api.Conflict, "idempotency key %q was used before for another request, at index %d", i.Key, old.Index).
			WithHint("use a key of its own for every request"), true
	}
	return Result{Index: old.Index, Leases: old.Leases, Run: old.Run, Replayed: true}, nil, true
}

// remember stores what became of a command that changed state (L5). Above the limit the
// oldest keys go before their time.
func (s *State) remember(k Kind, i Idem, res Result) {
	if i.Key == "" {
		return
	}
	s.makeRoom()
	s.putKey(IdemRecord{
		Scope: i.Scope, Key: i.Key, Hash: i.Hash, Kind: k, Leases: res.Leases, Run: res.Run,
		Index: s.meta.Index, Sub: s.sub, At: s.meta.Now,
	})
}
