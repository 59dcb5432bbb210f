package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// ClientOptions says whom a client expects.
type ClientOptions struct {
	// Cert is asked at every handshake that wants a certificate; nil presents none.
	Cert func() (*tls.Certificate, error)
	// Roots is the pool of the cluster's CA. Nil trusts nobody.
	Roots *x509.CertPool
	// ClusterID is the cluster that the server must be of; "" is any that Roots issued for.
	ClusterID string
	// Server is the role that the server must have: scheduler or cell.
	Server api.Role
	// Provider and Cell are whose cell the server must be; "" is any.
	Provider api.ProviderID
	Cell     api.CellID
	// ServerName is sent as SNI and not verified. "" lets the HTTP client fill it in.
	ServerName string
}

// ClientTLS returns the configuration of a client: TLS 1.3, and the server must chain to
// Roots and name exactly one identity, of the expected role and cluster, and of the expected cell. Its host name is
// not what is verified: addresses change, the identity does not. A server that is somebody
// else is refused with identity_mismatch.
func ClientTLS(o ClientOptions) *tls.Config {
	policy := peerPolicy{
		what: "server", roots: o.Roots, usage: x509.ExtKeyUsageServerAuth,
		clusterID: o.ClusterID, roles: []api.Role{o.Server}, otherRole: api.IdentityMismatch,
		provider: o.Provider, cell: o.Cell,
	}
	c := tlsBase()
	c.ServerName = o.ServerName
	// The standard check is of the host name; VerifyConnection does all the rest of it.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		_, err := policy.check(s.PeerCertificates, time.Now())
		return err
	}
	if o.Cert == nil {
		return c
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := o.Cert()
		if err != nil {
			return nil, fmt.Errorf("get client certificate: %w", err)
		}
		return cert, nil
	}
	return c
}
