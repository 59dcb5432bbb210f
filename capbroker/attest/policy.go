package attest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/jwks"
)

// Level is what a provider makes of evidence.
type Level string

// The levels.
const (
	None    Level = "none"    // it is not looked at
	Accept  Level = "accept"  // it is verified where a host brings it
	Require Level = "require" // without it no host becomes a cell
)

// DefaultMaxAge is how old a document of GCP or Azure may be where the operator says nothing.
const DefaultMaxAge = time.Hour

// Policy is what a provider asks of the hosts that become its cells.
type Policy struct {
	Provider api.ProviderID
	Level    Level
	Kind     api.EvidenceKind
	Roots    Roots
	// Accounts are those that a host may be of; none is any.
	Accounts []string
	// MaxAge is how old a document may be, of AWS how long ago the instance may have been started; 0 is
	// DefaultMaxAge, and no bound for AWS.
	MaxAge time.Duration
}

// Policies are those of a cluster; a provider without one takes no evidence.
type Policies struct {
	by map[api.ProviderID]Policy
}

// NewPolicies checks the policies of a cluster. What makes no sense is refused with invalid_argument.
func NewPolicies(all []Policy) (*Policies, error) {
	s := &Policies{by: map[api.ProviderID]Policy{}}
	for _, p := range all {
		if err := p.check(); err != nil {
			return nil, api.Refuse(api.InvalidArgument, "attestation of provider %.63q: %v", string(p.Provider), err)
		}
		if _, twice := s.by[p.Provider]; twice {
			return nil, api.Refuse(api.InvalidArgument, "attestation of provider %s is there twice", p.Provider)
		}
		if p.MaxAge == 0 && p.Kind != api.EvidenceAWS {
			p.MaxAge = DefaultMaxAge
		}
		s.by[p.Provider] = p
	}
	return s, nil
}

func (p Policy) check() error {
	if err := api.CheckName("provider", string(p.Provider)); err != nil {
		return err
	}
	switch p.Level {
	case None:
		return nil
	case Accept, Require:
	default:
		return fmt.Errorf("policy is %.40q: it is one of none, accept, require", string(p.Level))
	}
	if !slices.Contains(api.EvidenceKinds(), p.Kind) {
		return fmt.Errorf("kind is %.40q: it is one of %v", string(p.Kind), api.EvidenceKinds())
	}
	if (p.Roots.Keys != nil) != (p.Kind == api.EvidenceGCP) || (len(p.Roots.Certificates) > 0) != (p.Kind != api.EvidenceGCP) {
		return fmt.Errorf("evidence of kind %s is verified with a key set (gcp) or with certificates (aws, azure)", p.Kind)
	}
	if p.MaxAge < 0 {
		return errors.New("max_age is negative")
	}
	return nil
}

// Check verifies what a host that is to become a cell of a provider brings, as the provider's policy
// says. Nothing brought, and nothing required, is nil.
func (s *Policies) Check(ctx context.Context, provider api.ProviderID, d *api.EvidenceDocument, b Binding, now time.Time) (*api.Evidence, error) {
	p, ok := s.by[provider]
	if !ok || p.Level == None {
		if d == nil {
			return nil, nil //nolint:nilnil // nothing was asked for, and nothing came
		}
		return nil, refuse(api.AttestationUnwanted, "provider %s takes no evidence", provider).
			WithHint("leave --evidence out, or have the provider take it: an [[attestation]] in the file of grafos server --bootstrap-trust")
	}
	if d == nil {
		if p.Level == Accept {
			return nil, nil //nolint:nilnil // as above
		}
		return nil, refuse(api.AttestationMissing, "provider %s requires evidence of kind %s, and the request has none", provider, p.Kind).
			WithHint("on the host: grafos cloud bootstrap-cell ... --evidence %s", p.Kind)
	}
	if d.Kind != p.Kind {
		return nil, refuse(api.AttestationUnwanted, "provider %s takes evidence of kind %s, not of %.40q", provider, p.Kind, string(d.Kind)).
			WithHint("on the host: grafos cloud bootstrap-cell ... --evidence %s", p.Kind)
	}
	e, err := Verify(ctx, *d, p.Roots, b, now)
	if err != nil {
		return nil, p.refused(err)
	}
	if len(p.Accounts) > 0 && !slices.Contains(p.Accounts, e.Account) {
		return nil, refuse(api.AttestationAccount, "instance %s is of %s account %s, which is none of those that provider %s allows", e.Instance, e.Kind, e.Account, provider).
			WithHint("add the account to the provider's [[attestation]] in the file of grafos server --bootstrap-trust")
	}
	if age := now.Sub(e.Issued); p.MaxAge > 0 && age > p.MaxAge {
		return nil, refuse(api.AttestationStale, "the evidence of instance %s is %s old: provider %s takes none older than %s", e.Instance, age.Truncate(time.Second), provider, p.MaxAge).
			WithHint("get it anew and repeat the command")
	}
	return &e, nil
}

// Requires reports whether no host becomes a cell of the provider without evidence.
func (s *Policies) Requires(provider api.ProviderID) bool { return s.by[provider].Level == Require }

func (p Policy) refused(err error) error {
	what := "the evidence of kind " + string(p.Kind) + " is refused"
	if unbound, ok := errors.AsType[*UnboundError](err); ok {
		return refuse(api.AttestationUnbound, "%s: %v", what, unbound).
			WithHint("get it anew, with that %s: grafos cloud bootstrap-cell ... --evidence %s does", unbound.What, p.Kind)
	}
	q := refuse(api.AttestationInvalid, "%s: %v", what, err).
		WithHint("get it anew on the host; compare the roots of the provider's [[attestation]] with those that its cloud publishes")
	if _, ok := errors.AsType[*jwks.UnavailableError](err); ok {
		q.RetryAfterMs = jwks.Pause.Milliseconds()
	}
	return q
}

func refuse(reason, format string, args ...any) *api.Error {
	p := api.Refuse(api.AttestationFailed, format, args...)
	p.Reason = reason
	return p
}
