package ui

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

const maxCAFile = 1 << 20

// TLS returns the configuration for a server of a role, api.RoleScheduler or api.RoleCell.
func (c Connection) TLS(server api.Role) (*tls.Config, error) {
	return c.tls(pki.ClientOptions{Server: server})
}

// tls returns the configuration for a server that o names:
// it trusts the connection's CA alone and presents the caller's certificate, where there
// is one, read anew at every handshake so that a renewed one is used. Files that cannot be
// used are refused with their path.
func (c Connection) tls(o pki.ClientOptions) (*tls.Config, error) {
	if c.CAFile == "" {
		return nil, api.Refuse(api.InvalidArgument, "%s: the cluster's CA certificate is not known", c.Origin).
			WithHint("give --ca FILE or GRAFOS_CA")
	}
	text, err := ReadBounded(c.CAFile, maxCAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, api.Refuse(api.InvalidArgument, "%s has no certificate in PEM", c.CAFile)
	}
	o.Roots, o.ClusterID = roots, c.ClusterID
	if c.CertFile != "" {
		// Looked at once here, so that a wrong path fails with its name and not as a handshake.
		if _, err := c.certificate(); err != nil {
			return nil, err
		}
		o.Cert = c.certificate
	}
	return pki.ClientTLS(o), nil
}

func (c Connection) certificate() (*tls.Certificate, error) {
	for _, path := range []string{c.CertFile, c.KeyFile} {
		if _, err := ReadBounded(path, maxCAFile); err != nil {
			return nil, err
		}
	}
	credential, err := pki.LoadCredential(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	pair, err := credential.TLS()
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

const (
	// dataPlaneReach is how long it may take to reach a cell, whose host may be gone, and as long again
	// until it has proved itself, which a stopped one does not.
	dataPlaneReach = 5 * time.Second
	// dataPlaneWait is how long a cell may take to answer before a data-plane operation is given up.
	dataPlaneWait = 30 * time.Second
)

// DataPlane returns an HTTP client for the data plane of a cell. Whoever else answers at its address, another cell
// too, is sent no token.
func (c Connection) DataPlane(p api.ProviderID, cell api.CellID) (*http.Client, error) {
	config, err := c.tls(pki.ClientOptions{Server: api.RoleCell, Provider: p, Cell: cell})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: dataPlane(config)}, nil
}

func dataPlane(config *tls.Config) *http.Transport {
	return &http.Transport{
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		DialContext:           (&net.Dialer{Timeout: dataPlaneReach}).DialContext,
		TLSHandshakeTimeout:   dataPlaneReach,
		ResponseHeaderTimeout: dataPlaneWait,
		MaxIdleConnsPerHost:   1,
	}
}
