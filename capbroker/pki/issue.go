package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/grafos/grafos/api"
)

// Default lives of certificates.
const (
	// CellCertTTL is short: a cell renews by itself, at half of it.
	CellCertTTL = 24 * time.Hour
	// CellCertTTLUnrenewed is what it is in a cluster with a member that knows no renewal.
	CellCertTTLUnrenewed = 7 * 24 * time.Hour
	// CertTTL is for those that are renewed by hand or at a start.
	CertTTL = 365 * 24 * time.Hour
)

// maxNames bounds the host names and addresses of one certificate.
const maxNames = 64

// CertRequest says what a certificate is to say.
type CertRequest struct {
	// Identity becomes the one URI SAN. Its ClusterID may be left empty.
	Identity Identity
	// DNSNames and IPs are for servers: roles scheduler and cell.
	DNSNames []string
	IPs      []net.IP
	// TTL is how long from Now; 0 is CellCertTTL for a cell, CertTTL for the others. No
	// certificate outlives the CA.
	TTL time.Duration
	// Now is when it is issued; zero is the present.
	Now time.Time
	// Serial is the certificate's number; nil is a random one.
	Serial *big.Int
}

// Issue makes a P-256 key and a certificate for it. The credential carries the CA's
// certificate behind the leaf, as a server has to send it (PinnedTLS).
func (m *Material) Issue(r CertRequest) (*Credential, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	leaf, _, err := m.Sign(&key.PublicKey, r)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Credential{CertPEM: Chain(leaf, m.CAPEM), KeyPEM: keyPEM}, nil
}

// Chain joins PEM certificates, leaf first.
func Chain(pems ...[]byte) []byte {
	var chain []byte
	for _, p := range pems {
		chain = append(chain, p...)
		if n := len(chain); n > 0 && chain[n-1] != '\n' {
			chain = append(chain, '\n')
		}
	}
	return chain
}

// Sign certifies a public key, P-256 or Ed25519, and returns the leaf in PEM and parsed.
// A request that makes no sense is refused with invalid_argument, an identity of another
// cluster with identity_mismatch.
func (m *Material) Sign(pub any, r CertRequest) ([]byte, *x509.Certificate, error) {
	if _, err := publicKey(pub); err != nil {
		return nil, nil, err
	}
	tmpl, err := m.template(r)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, m.CA, pub, m.caKey)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read back certificate: %w", err)
	}
	return encodeCert(der), c, nil
}

// template checks a request and turns it into what is signed.
func (m *Material) template(r CertRequest) (*x509.Certificate, error) {
	id, err := m.own(r.Identity)
	if err != nil {
		return nil, err
	}
	if err := checkNames(id.Role, r.DNSNames, r.IPs); err != nil {
		return nil, err
	}
	from, until, err := m.validity(id.Role, r)
	if err != nil {
		return nil, err
	}
	serial := r.Serial
	if serial == nil {
		if serial, err = newSerial(); err != nil {
			return nil, err
		}
	}
	name, usage := id.Name, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if id.Role == api.RoleCell {
		name = string(id.Cell)
	}
	if isServer(id.Role) {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"grafOS"}, OrganizationalUnit: []string{string(id.Role)}, CommonName: name},
		NotBefore:    from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usage, BasicConstraintsValid: true,
		URIs:     []*url.URL{{Scheme: "spiffe", Host: id.ClusterID, Path: id.path()}},
		DNSNames: r.DNSNames, IPAddresses: r.IPs,
	}, nil
}

// own returns the identity with this cluster's id.
func (m *Material) own(id Identity) (Identity, error) {
	if id.ClusterID == "" {
		id.ClusterID = m.ClusterID
	}
	if id.ClusterID != m.ClusterID {
		return id, api.Refuse(api.IdentityMismatch, "identity %s is of cluster %.63q: this is the CA of cluster %s", id.path(), id.ClusterID, m.ClusterID)
	}
	return id, id.Check()
}

// validity returns from when until when, within the CA's own life.
func (m *Material) validity(role api.Role, r CertRequest) (from, until time.Time, err error) {
	now, ttl := r.Now, r.TTL
	if now.IsZero() {
		now = time.Now()
	}
	if ttl == 0 {
		ttl = CertTTL
		if role == api.RoleCell {
			ttl = CellCertTTL
		}
	}
	if ttl < time.Second {
		return from, until, api.Refuse(api.InvalidArgument, "ttl is %s: a certificate lives at least 1s", ttl)
	}
	if !now.Before(m.CA.NotAfter) {
		return from, until, api.Refuse(api.InvalidArgument, "the CA of cluster %s expired %s ago, on %s",
			m.ClusterID, span(now.Sub(m.CA.NotAfter)), m.CA.NotAfter.UTC().Format(time.RFC3339))
	}
	until = now.Add(ttl)
	if until.After(m.CA.NotAfter) {
		until = m.CA.NotAfter
	}
	return now.Add(-ClockTolerance), until, nil
}

// checkNames refuses host names and addresses of somebody who serves nothing, and what is
// none.
func checkNames(role api.Role, names []string, ips []net.IP) error {
	if len(names)+len(ips) == 0 {
		return nil
	}
	if !isServer(role) {
		return api.Refuse(api.InvalidArgument, "a certificate of role %s carries no host names: only those of schedulers and cells do", role)
	}
	if n := len(names) + len(ips); n > maxNames {
		return api.Refuse(api.InvalidArgument, "%d host names and addresses: at most %d", n, maxNames)
	}
	for _, name := range names {
		if !hostName(name) {
			return api.Refuse(api.InvalidArgument, "%.80q is not a host name", name)
		}
	}
	for _, ip := range ips {
		if ip.To16() == nil || ip.IsUnspecified() {
			return api.Refuse(api.InvalidArgument, "%q is not an address that a server can be reached at", ip.String())
		}
	}
	return nil
}

// hostName reports whether s is dot-separated labels of letters, digits and inner '-',
// the first of which may be "*".
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			continue
		}
		if label := s[start:i]; !hostLabel(label) && (label != "*" || start != 0 || i == len(s)) {
			return false
		}
		start = i + 1
	}
	return true
}

func hostLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
