package pki

import (
	"crypto/x509"
	"time"

	"github.com/grafos/grafos/api"
)

// RenewableFor is for how long a cell's certificate that has ended is still good to be renewed
// with its own key, so that an outage of a week costs no bootstrap.
const RenewableFor = 7 * 24 * time.Hour

// VerifyLapsed verifies the certificate of a cell that asks for a new one with it, although it may
// have ended: at its last moment it must have been one of this cluster's, and that moment must be no
// more than RenewableFor ago. Who shows it has proved nothing yet: certificates are public.
func (m *Material) VerifyLapsed(certPEM []byte, now time.Time) (*x509.Certificate, Identity, error) {
	if len(certPEM) > maxFile {
		return nil, Identity{}, api.Refuse(api.TooLarge, "the certificate is %d bytes long: at most %d", len(certPEM), maxFile)
	}
	leaf, err := leafOf(certPEM)
	if err != nil {
		return nil, Identity{}, err
	}
	if past := now.Sub(leaf.NotAfter); past > RenewableFor {
		return nil, Identity{}, api.Refuse(api.Unauthenticated, "the certificate %q expired %s ago, on %s: it can be renewed for %s",
			leaf.Subject.CommonName, span(past), leaf.NotAfter.UTC().Format(time.RFC3339), span(RenewableFor)).
			WithHint("bootstrap the host anew: grafos cloud bootstrap-cell")
	}
	policy := peerPolicy{
		what: "cell", roots: m.Pool(), usage: x509.ExtKeyUsageClientAuth,
		clusterID: m.ClusterID, roles: []api.Role{api.RoleCell}, otherRole: api.Forbidden,
	}
	at := now
	if now.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	id, err := policy.check([]*x509.Certificate{leaf}, at)
	return leaf, id, err
}
