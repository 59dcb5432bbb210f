package node

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Bounds of a file of certificates.
const (
	maxCertFile = 1 << 20
	maxCerts    = 256
)

// certificatesIn reads a PEM file that holds certificates and nothing else.
func certificatesIn(path string) ([]*x509.Certificate, error) {
	rest, err := ui.ReadBounded(path, maxCertFile)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" || len(certs) == maxCerts {
			return nil, api.Refuse(api.InvalidArgument, "%s: block %d is a %.40q: it holds at most %d certificates, and nothing else", path, len(certs)+1, block.Type, maxCerts)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, api.Refuse(api.InvalidArgument, "%s: certificate %d cannot be read: %v", path, len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, api.Refuse(api.InvalidArgument, "%s: it is not a file of PEM certificates", path)
	}
	return certs, nil
}
