package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// ServerOptions says whom a listener serves.
type ServerOptions struct {
	// Cert is asked at every handshake, so that a renewed certificate needs no restart. Its
	// chain must carry the CA behind the leaf where first contacts come (PinnedTLS).
	Cert func() (*tls.Certificate, error)
	// Roots is the pool of the cluster's CA. Nil trusts nobody.
	Roots *x509.CertPool
	// ClusterID is the cluster that clients must be of; it is never left empty.
	ClusterID string
	// Clients says whether a certificate is needed. What is presented is verified whatever
	// it says: tls.RequestClientCert means tls.VerifyClientCertIfGiven, and
	// tls.RequireAnyClientCert means tls.RequireAndVerifyClientCert.
	Clients tls.ClientAuthType
	// Roles are the roles that may connect; none means any.
	Roles []api.Role
	// NextProtos are the ALPN protocols; every listener of ours has its own.
	NextProtos []string
	Log        hclog.Logger
}

// ServerTLS returns the configuration of a listener: TLS 1.3, and a client certificate
// that is presented must chain to Roots, name exactly one identity of this cluster, and
// that of an allowed role. The handshake's error says which check failed, and a proved
// identity that is not taken is logged too; the client learns only that it was refused.
// crypto/tls does its own verification first, so that VerifiedChains is set for handlers.
func ServerTLS(o ServerOptions) *tls.Config {
	policy := peerPolicy{
		what: "client", roots: o.Roots, usage: x509.ExtKeyUsageClientAuth,
		clusterID: o.ClusterID, roles: o.Roles, otherRole: api.Forbidden,
	}
	c := tlsBase()
	c.NextProtos = o.NextProtos
	c.ClientAuth = verified(o.Clients)
	c.ClientCAs = o.Roots
	if c.ClientCAs == nil {
		c.ClientCAs = x509.NewCertPool() // nil would mean the machine's own roots
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := o.Cert()
		if err != nil {
			return nil, fmt.Errorf("get server certificate: %w", err)
		}
		return cert, nil
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 && c.ClientAuth != tls.RequireAndVerifyClientCert {
			return nil
		}
		if o.ClusterID == "" {
			return api.Refuse(api.Internal, "this listener was given no cluster id, so it takes no client certificate")
		}
		id, err := policy.check(s.PeerCertificates, time.Now())
		if err != nil {
			o.Log.Warn("client certificate refused", "identity", id.String(), "error", err)
		}
		return err
	}
	return c
}

// verified maps a client authentication that would take a certificate unseen to the one
// that verifies it.
func verified(t tls.ClientAuthType) tls.ClientAuthType {
	switch t {
	case tls.NoClientCert:
		return tls.NoClientCert
	case tls.RequestClientCert, tls.VerifyClientCertIfGiven:
		return tls.VerifyClientCertIfGiven
	case tls.RequireAnyClientCert, tls.RequireAndVerifyClientCert:
		return tls.RequireAndVerifyClientCert
	}
	return tls.RequireAndVerifyClientCert
}
