package attest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/jwks"
)

// ClockTolerance is how far the clocks of a cloud and of this machine may be apart.
const ClockTolerance = 5 * time.Minute

// Roots are what a document is verified against.
type Roots struct {
	// Certificates are, of AWS, those that sign the documents themselves; of Azure, the authorities that
	// the signers' certificates chain to.
	Certificates []*x509.Certificate
	// Keys are GCP's.
	Keys *jwks.Source
}

// Binding is whom a document is to be evidence for.
type Binding struct {
	CAPin string // of the cluster
	SPKI  string // hex SHA-256 of the key that is to be certified
}

// Audience is what a GCP token for the binding is asked for.
func (b Binding) Audience() string { return "grafos://" + b.CAPin + "/" + b.SPKI }

// nonceDigits is how long Azure's nonce may be.
const nonceDigits = 10_000_000_000

// Nonce is what Azure's attested data for the binding is asked for: ten digits, since it takes no more.
func (b Binding) Nonce() string {
	sum := sha256.Sum256([]byte("grafos attested data\n" + b.CAPin + "\n" + b.SPKI))
	return fmt.Sprintf("%010d", binary.BigEndian.Uint64(sum[:8])%nonceDigits)
}

// UnboundError says that a document is a good one, for somebody else.
type UnboundError struct{ What, Got, Want string }

// Error says what it was made for.
func (e *UnboundError) Error() string {
	return fmt.Sprintf("its %s is %.200q; for this key and cluster it must be %q", e.What, e.Got, e.Want)
}

// Verify verifies a document and returns what it proves. Its errors say which check failed.
func Verify(ctx context.Context, d api.EvidenceDocument, roots Roots, b Binding, now time.Time) (api.Evidence, error) {
	if len(d.Document) > api.MaxEvidence {
		return api.Evidence{}, fmt.Errorf("it is %d bytes long: at most %d", len(d.Document), api.MaxEvidence)
	}
	var e api.Evidence
	var err error
	switch d.Kind {
	case api.EvidenceAWS:
		e, err = verifyAWS(d.Document, roots, now)
	case api.EvidenceGCP:
		e, err = verifyGCP(ctx, d.Document, roots, b, now)
	case api.EvidenceAzure:
		e, err = verifyAzure(d.Document, roots, b, now)
	default:
		return api.Evidence{}, fmt.Errorf("its kind is %.40q: it is one of %v", string(d.Kind), api.EvidenceKinds())
	}
	if err != nil {
		return api.Evidence{}, err
	}
	return e, checkEvidence(e)
}

// maxField bounds each word of the evidence: all of it stands in the replicated state.
const maxField = 128

// checkEvidence refuses what no cloud says: what it says becomes part of records and tables.
func checkEvidence(e api.Evidence) error {
	if e.Account == "" || e.Instance == "" {
		return errors.New("it names no account, or no instance")
	}
	for _, word := range []string{e.Account, e.Instance, e.Region, e.Zone, e.Image} {
		if len(word) > maxField {
			return fmt.Errorf("a word of it is %d bytes long: at most %d", len(word), maxField)
		}
		for _, r := range word {
			alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
			if !alnum && r != '-' && r != '_' && r != '.' && r != ':' && r != '/' {
				return fmt.Errorf("a word of it, %q, has a character %q that no cloud uses there", word, r)
			}
		}
	}
	return nil
}
