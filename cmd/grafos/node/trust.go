package node

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/attest"
	"github.com/grafos/grafos/capbroker/issuer"
	"github.com/grafos/grafos/capbroker/jwks"
	"github.com/grafos/grafos/cluster/control"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// trustFile is the file of --bootstrap-trust: whom, beside this cluster itself, a host that is to
// become a cell may be vouched for by. The leading scheduler's file counts, so that it is the same on
// all of them.
type trustFile struct {
	Issuers     []trustedIssuer     `toml:"issuer"`
	Attestation []attestationPolicy `toml:"attestation"`
}

// attestationPolicy is what a provider makes of its cloud's identity documents.
type attestationPolicy struct {
	Provider api.ProviderID   `toml:"provider"`
	Policy   attest.Level     `toml:"policy"`
	Kind     api.EvidenceKind `toml:"kind"` // that of the provider's name, where it is one
	Roots    string           `toml:"roots"`
	JWKSFile string           `toml:"jwks_file"`
	Accounts []string         `toml:"accounts"`
	MaxAge   duration         `toml:"max_age"`
}

// trustedIssuer is one who makes bootstrap tokens.
type trustedIssuer struct {
	Issuer        string            `toml:"issuer"`
	JWKSFile      string            `toml:"jwks_file"`
	JWKSURL       string            `toml:"jwks_url"`
	JWKSCA        string            `toml:"jwks_ca"`
	Providers     []api.ProviderID  `toml:"providers"`
	Audience      string            `toml:"audience"`
	Algorithms    []string          `toml:"algorithms"`
	MaxTTL        duration          `toml:"max_ttl"`
	ProviderClaim string            `toml:"provider_claim"`
	CellClaim     string            `toml:"cell_id_claim"`
	UsesClaim     string            `toml:"uses_claim"`
	Require       map[string]string `toml:"require"`
}

// trust is what came of the file.
type trust struct {
	issuers  *issuer.Issuers // nil where there is no file
	evidence *attest.Policies
	named    []namedProvider
}

// namedProvider is a provider that the file speaks of, and where.
type namedProvider struct {
	provider api.ProviderID
	where    string
}

// unknown returns what the file says of providers that there are not: a slip of the pen, or one that
// --providers lacks. It is no fault of the file, since it is the same on schedulers of several settings.
func (t *trust) unknown(providers []api.Provider) []namedProvider {
	return slices.DeleteFunc(slices.Clone(t.named), func(n namedProvider) bool {
		return slices.ContainsFunc(providers, func(p api.Provider) bool { return p.ID == n.provider })
	})
}

// loadTrust reads the file; none is no trust in anybody else. Names of files in it are from its own
// folder on.
func loadTrust(file, clusterID string) (*trust, error) {
	if file == "" {
		return &trust{}, nil
	}
	b, err := ui.ReadBounded(file, maxConfig)
	if err != nil {
		return nil, err
	}
	var f trustFile
	if err := ui.DecodeTOML(file, b, &f); err != nil {
		return nil, err
	}
	all := make([]issuer.Config, 0, len(f.Issuers))
	for _, t := range f.Issuers {
		keys, err := t.keys(filepath.Dir(file))
		if err != nil {
			return nil, ui.Usage(fmt.Errorf("%s: issuer %.200q: %w", file, t.Issuer, err))
		}
		all = append(all, issuer.Config{
			Issuer: t.Issuer, Keys: keys, Providers: t.Providers, Audience: t.Audience, Algorithms: t.Algorithms, MaxTTL: time.Duration(t.MaxTTL),
			ProviderClaim: t.ProviderClaim, CellClaim: t.CellClaim, UsesClaim: t.UsesClaim, Require: t.Require,
		})
	}
	out := &trust{named: f.named()}
	if out.issuers, err = issuer.New(clusterID, all); err != nil {
		return nil, inFile(file, err)
	}
	policies := make([]attest.Policy, 0, len(f.Attestation))
	for _, t := range f.Attestation {
		p, err := t.policy(filepath.Dir(file))
		if err != nil {
			return nil, ui.Usage(fmt.Errorf("%s: attestation of provider %.63q: %w", file, string(t.Provider), err))
		}
		policies = append(policies, p)
	}
	if out.evidence, err = attest.NewPolicies(policies); err != nil {
		return nil, inFile(file, err)
	}
	return out, nil
}

// named lists the providers in the order of the file.
func (f *trustFile) named() []namedProvider {
	var out []namedProvider
	for _, t := range f.Issuers {
		for _, p := range t.Providers {
			out = append(out, namedProvider{p, "issuer " + t.Issuer})
		}
	}
	for _, t := range f.Attestation {
		out = append(out, namedProvider{t.Provider, "attestation"})
	}
	return out
}

// policy reads the files that a policy names.
func (t attestationPolicy) policy(dir string) (attest.Policy, error) {
	p := attest.Policy{Provider: t.Provider, Level: t.Policy, Kind: t.Kind, Accounts: t.Accounts, MaxAge: time.Duration(t.MaxAge)}
	if p.Kind == "" {
		p.Kind = api.EvidenceKind(t.Provider)
	}
	var err error
	if t.Roots != "" {
		if p.Roots.Certificates, err = certificatesIn(beside(dir, t.Roots)); err != nil {
			return p, err
		}
	}
	if t.JWKSFile != "" {
		p.Roots.Keys, err = keyFile(beside(dir, t.JWKSFile))
	}
	return p, err
}

// verifier is nil, and not an empty one, where nobody else is trusted.
func (t *trust) verifier() control.Issuers {
	if t.issuers == nil {
		return nil
	}
	return t.issuers
}

// inFile says in which file a fault is.
func inFile(file string, err error) error {
	if p, ok := api.AsError(err); ok {
		p.Detail = file + ": " + p.Detail
		return p
	}
	return err
}

// keys is where the issuer's keys come from. A file is read at once, so that a scheduler does not start
// with one that is none; a server may be away.
func (t trustedIssuer) keys(dir string) (*jwks.Source, error) {
	if (t.JWKSFile == "") == (t.JWKSURL == "") {
		return nil, api.Refuse(api.InvalidArgument, "it has one of jwks_file and jwks_url")
	}
	if t.JWKSFile != "" {
		return keyFile(beside(dir, t.JWKSFile))
	}
	var roots *x509.CertPool
	if t.JWKSCA != "" {
		certs, err := certificatesIn(beside(dir, t.JWKSCA))
		if err != nil {
			return nil, err
		}
		roots = x509.NewCertPool()
		for _, c := range certs {
			roots.AddCert(c)
		}
	}
	load, err := jwks.FromURL(t.JWKSURL, roots)
	if err != nil {
		return nil, err
	}
	return jwks.NewSource(load, clock.System()), nil
}

// keyFile is a key set in a file that is one now.
func keyFile(path string) (*jwks.Source, error) {
	b, err := ui.ReadBounded(path, jwks.MaxSize)
	if err != nil {
		return nil, err
	}
	if _, err := jwks.Parse(b); err != nil {
		return nil, api.Refuse(api.InvalidArgument, "%s: %v", path, err)
	}
	return jwks.NewSource(jwks.FromFile(path), clock.System()), nil
}

// beside is where a file is that another one in dir names.
func beside(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
