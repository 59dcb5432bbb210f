package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/grafos/grafos/api"
)

// ClockTolerance is how far two machines' clocks may be apart without harm: a certificate
// is valid from this long before it is issued.
const ClockTolerance = 5 * time.Minute

// caLife is how long a cluster's CA lasts.
const caLife = 10 * 365 * 24 * time.Hour

// ParseCA reads a CA certificate in PEM: exactly one, that may sign certificates, is
// signed by itself and names the cluster whose CA it is (spiffe://<cluster-id>).
func ParseCA(caPEM []byte) (*x509.Certificate, error) {
	if len(caPEM) > maxFile {
		return nil, api.Refuse(api.TooLarge, "CA certificate is %d bytes long: at most %d", len(caPEM), maxFile)
	}
	der, err := onlyBlock("CA certificate", pemCert, caPEM)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "CA certificate cannot be read: %v", err)
	}
	if _, err := caCluster(c); err != nil {
		return nil, err
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		return nil, api.Refuse(api.InvalidArgument, "CA certificate %q is not signed by itself: %v", c.Subject.CommonName, err)
	}
	return c, nil
}

// Pin returns "sha256:" and the hex SHA-256 of a certificate's DER.
func Pin(c *x509.Certificate) string { return "sha256:" + hexSum(c.Raw) }

// caCluster returns the id of the cluster whose CA a certificate is.
func caCluster(c *x509.Certificate) (string, error) {
	if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return "", api.Refuse(api.InvalidArgument, "certificate %q is not a CA's: it may not sign certificates", c.Subject.CommonName)
	}
	if len(c.URIs) != 1 || c.URIs[0].String() != clusterURI(c.URIs[0].Host).String() {
		return "", api.Refuse(api.InvalidArgument,
			"CA certificate %q does not name its cluster: it must have one URI SAN, spiffe://<cluster-id>", c.Subject.CommonName)
	}
	return c.URIs[0].Host, checkClusterID(c.URIs[0].Host)
}

func clusterURI(id string) *url.URL { return &url.URL{Scheme: "spiffe", Host: id} }

// newCA makes a self-signed CA certificate of a cluster. Its path length is zero: it
// signs leaves only, so no leaf's holder can make another.
func newCA(clusterID string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"grafOS"}, CommonName: "grafOS CA of " + clusterID},
		NotBefore:             now.Add(-ClockTolerance),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		URIs: []*url.URL{clusterURI(clusterID)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign CA certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back CA certificate: %w", err)
	}
	return c, nil
}

// newSerial returns 127 random bits, never zero.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}
