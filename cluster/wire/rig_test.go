package wire

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// rig is a cluster's material.
type rig struct {
	t        testing.TB
	material *pki.Material
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	material, err := pki.InitMaterial(filepath.Join(tb.TempDir(), "material"), pki.InitOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return &rig{t: tb, material: material}
}

func (r *rig) issue(id pki.Identity) tls.Certificate {
	r.t.Helper()
	id.ClusterID = r.material.ClusterID
	ask := pki.CertRequest{Identity: id}
	if id.Role == api.RoleScheduler || id.Role == api.RoleCell {
		ask.IPs = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	cred, err := r.material.Issue(ask)
	if err != nil {
		r.t.Fatal(err)
	}
	cert, err := cred.TLS()
	if err != nil {
		r.t.Fatal(err)
	}
	return cert
}

func (r *rig) serverTLS(cert tls.Certificate) *tls.Config {
	return pki.ServerTLS(pki.ServerOptions{
		Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: r.material.Pool(), ClusterID: r.material.ClusterID,
		Clients: tls.RequireAndVerifyClientCert, Roles: []api.Role{api.RoleScheduler}, Log: hclog.NewNullLogger(),
	})
}

func (r *rig) clientTLS(cert tls.Certificate) *tls.Config {
	return pki.ClientTLS(pki.ClientOptions{
		Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: r.material.Pool(), ClusterID: r.material.ClusterID,
		Server: api.RoleScheduler,
	})
}

// link opens a link of the scheduler name on a free port.
func (r *rig) link(name string) (*Link, tls.Certificate) {
	r.t.Helper()
	cert := r.issue(pki.Identity{Role: api.RoleScheduler, Name: name})
	l, err := Open(Config{
		Node: api.NodeID(name), Bind: "127.0.0.1:0", Advertise: "127.0.0.1:1", Server: r.serverTLS(cert), Client: r.clientTLS(cert), Log: hclog.NewNullLogger(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { closeQuietly(l) })
	return l, cert
}

func schedulerID(name string) pki.Identity { return pki.Identity{Role: api.RoleScheduler, Name: name} }
