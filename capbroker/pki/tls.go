package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// peerPolicy is what must hold of the other end's certificate.
type peerPolicy struct {
	what      string // "client" or "server", for the refusal
	roots     *x509.CertPool
	usage     x509.ExtKeyUsage
	clusterID string     // "" is not checked
	roles     []api.Role // none is any
	// provider and cell are whose cell it must be; "" is any.
	provider api.ProviderID
	cell     api.CellID
	// otherRole is the kind for a proved identity of another role or cluster: a client is
	// forbidden, a server is not the one that was meant.
	otherRole api.Kind
}

// check verifies a presented chain, leaf first, and returns whom it proves. Its refusal
// names the one check that failed.
func (p peerPolicy) check(chain []*x509.Certificate, now time.Time) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, api.Refuse(api.Unauthenticated, "the %s presented no certificate", p.what)
	}
	leaf := chain[0]
	if err := p.checkTime(leaf, now); err != nil {
		return Identity{}, err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	roots := p.roots
	if roots == nil {
		roots = x509.NewCertPool() // nil would mean the machine's own roots
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{p.usage},
	})
	if err != nil {
		return Identity{}, api.Refuse(api.Unauthenticated, "the %s's certificate %q does not chain to this cluster's CA: %s",
			p.what, leaf.Subject.CommonName, chainFault(err))
	}
	id, err := CertIdentity(leaf)
	if err != nil {
		return Identity{}, fmt.Errorf("check %s's certificate: %w", p.what, err)
	}
	return id, p.checkIdentity(id)
}

// checkTime comes before the chain, for the sake of a message with numbers in it.
func (p peerPolicy) checkTime(leaf *x509.Certificate, now time.Time) error {
	if now.After(leaf.NotAfter) {
		return api.Refuse(api.Unauthenticated, "the %s's certificate %q expired %s ago, on %s",
			p.what, leaf.Subject.CommonName, span(now.Sub(leaf.NotAfter)), leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		return api.Refuse(api.Unauthenticated, "the %s's certificate %q is valid only in %s, from %s: compare the two machines' clocks",
			p.what, leaf.Subject.CommonName, span(leaf.NotBefore.Sub(now)), leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

func (p peerPolicy) checkIdentity(id Identity) error {
	if p.clusterID != "" && id.ClusterID != p.clusterID {
		return api.Refuse(p.otherRole, "the %s is %s, of another cluster: this one is %s", p.what, id, p.clusterID)
	}
	if len(p.roles) > 0 && !slices.Contains(p.roles, id.Role) {
		return api.Refuse(p.otherRole, "the %s is %s, and role %s is not taken here: only %s", p.what, id, id.Role, roleList(p.roles))
	}
	if p.cell != "" && (id.Cell != p.cell || id.Provider != p.provider) {
		return api.Refuse(p.otherRole, "the %s is %s, and cell %s of provider %s is meant", p.what, id, p.cell, p.provider)
	}
	return nil
}

// chainFault shortens what x509 says to its reason.
func chainFault(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "another CA issued it"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.IncompatibleUsage {
		return "it was not issued for this end of a connection"
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

func roleList(roles []api.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// tlsBase is what every configuration shares. Tickets are off: each handshake proves both
// ends anew, against the certificates of the day.
func tlsBase() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}
