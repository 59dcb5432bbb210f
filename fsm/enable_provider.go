package fsm

import "github.com/grafos/grafos/api"

// EnableProvider switches a provider's new admissions on or off; running work goes on.
type EnableProvider struct {
	Actor    string         `json:"actor"`
	Idem     Idem           `json:"idem"`
	Provider api.ProviderID `json:"provider"`
	On       bool           `json:"on"`
	Reason   string         `json:"reason,omitempty"`
}

// providerFact is what the audit chain says of a provider's change.
type providerFact struct {
	Provider api.ProviderID `json:"provider"`
	Enabled  bool           `json:"enabled"`
	Reason   string         `json:"reason,omitempty"`
}

// Kind returns KindEnableProvider.
func (EnableProvider) Kind() Kind { return KindEnableProvider }

func (c EnableProvider) idem() Idem { return c.Idem }

// apply refuses an unknown provider with not_found. Switching to what is already so changes
// nothing.
func (c EnableProvider) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkName("provider", string(c.Provider)), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	provider, ok := s.Provider(c.Provider)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "provider %s is not configured on this cluster", c.Provider)
	}
	if provider.Enabled == c.On {
		return Result{}, nil
	}
	provider.Enabled, provider.Since = c.On, s.Wall()
	s.putProvider(provider)
	kind := auditProviderDisabled
	if c.On {
		kind = auditProviderEnabled
	}
	s.audit(kind, c.Actor, subject{Provider: c.Provider}, providerFact{Provider: c.Provider, Enabled: c.On, Reason: c.Reason})
	return Result{}, nil
}
