package fleet

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
)

// Client returns an operator's client on the user's host, of the schedulers at urls (none:
// all of them).
func (f *Fleet) Client(timeout time.Duration, urls ...string) (*client.Client, error) {
	if len(urls) == 0 {
		urls = f.URLs()
	}
	conf, err := f.TLS(api.RoleScheduler)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{
		URLs: urls, TLS: conf, Timeout: timeout, Dial: f.Net.Host(UserHost).DialContext, Log: hclog.NewNullLogger(),
	})
}

// TLS is how the operator reaches a node of a role.
func (f *Fleet) TLS(server api.Role) (*tls.Config, error) {
	cert, err := f.operator.TLS()
	if err != nil {
		return nil, err
	}
	return pki.ClientTLS(pki.ClientOptions{
		Roots: f.material.Pool(), ClusterID: f.material.ClusterID, Server: server,
		Cert: func() (*tls.Certificate, error) { return &cert, nil },
	}), nil
}

// DataPlane returns a client of the cells' data planes on the user's host, with the operator's
// certificate; the capability token says what it may do.
func (f *Fleet) DataPlane(timeout time.Duration) *http.Client {
	conf := pki.ClientTLS(pki.ClientOptions{
		Roots: f.material.Pool(), ClusterID: f.material.ClusterID, Server: api.RoleCell,
		Cert: func() (*tls.Certificate, error) {
			cert, err := f.operator.TLS()
			return &cert, err
		},
	})
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		TLSClientConfig: conf, MaxIdleConnsPerHost: 8, DialContext: f.Net.Host(UserHost).DialContext,
	}}
}
