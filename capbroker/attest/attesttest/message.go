package attesttest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"slices"
	"time"
)

// OID is the name of a thing in ASN.1.
type OID = asn1.ObjectIdentifier

// The names in a message.
var (
	data       = OID{1, 2, 840, 113549, 1, 7, 1}     //nolint:gochecknoglobals // a constant in all but type
	signedData = OID{1, 2, 840, 113549, 1, 7, 2}     //nolint:gochecknoglobals // as above
	SHA256     = OID{2, 16, 840, 1, 101, 3, 4, 2, 1} //nolint:gochecknoglobals // as above
	SHA1       = OID{1, 3, 14, 3, 2, 26}             //nolint:gochecknoglobals // as above
	RSA        = OID{1, 2, 840, 113549, 1, 1, 1}     //nolint:gochecknoglobals // as above
	RSASHA256  = OID{1, 2, 840, 113549, 1, 1, 11}    //nolint:gochecknoglobals // as above
	DSA        = OID{1, 2, 840, 10040, 4, 3}         //nolint:gochecknoglobals // as above
)

// Message is a PKCS #7 message of signed data.
type Message struct {
	Content []byte
	By      *Signer
	// Embed are signers whose certificates it carries.
	Embed []*Signer
	// Signed are the attributes that AWS signs with the content, at a time; none is what Azure does.
	Signed time.Time
	// Digest and Encryption are the algorithms that it says; what it does is RSA over SHA-256.
	Digest, Encryption OID
	// Indefinite writes lengths as AWS does: to an end mark, and the content in pieces.
	Indefinite bool
	// Twice has it signed twice.
	Twice bool
}

// der writes a tagged value.
func der(tag byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	n := len(body)
	head := []byte{tag}
	switch {
	case n < 0x80:
		head = append(head, byte(n))
	case n < 0x100:
		head = append(head, 0x81, byte(n))
	default:
		head = append(head, 0x82, byte(n>>8), byte(n))
	}
	return append(head, body...)
}

// indefinite writes a tagged value to an end mark.
func indefinite(tag byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{tag, 0x80}, slices.Concat(parts...), []byte{0, 0})
}

// The tags.
const (
	integer  = 0x02
	octets   = 0x04
	null     = 0x05
	sequence = 0x30
	set      = 0x31
	zero     = 0xa0 // [0]
)

func must(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err) // constants and times of this package's own
	}
	return b
}

func algorithm(oid OID) []byte { return der(sequence, must(oid), der(null)) }

func attribute(oid OID, value []byte) []byte {
	return der(sequence, must(oid), der(set, value))
}

// Bytes writes the message.
func (m Message) Bytes() ([]byte, error) {
	info, err := m.signerInfo()
	if err != nil {
		return nil, err
	}
	long, content := der, der(octets, m.Content)
	if m.Indefinite {
		long = indefinite
		half := len(m.Content) / 2
		content = indefinite(octets|0x20, der(octets, m.Content[:half]), der(octets, m.Content[half:]))
	}
	infos := info
	if m.Twice {
		infos = append(slices.Clone(info), info...)
	}
	var certs []byte
	for _, c := range m.Embed {
		certs = append(certs, c.Cert.Raw...)
	}
	if certs != nil {
		certs = der(zero, certs)
	}
	return long(sequence, must(signedData), long(zero, long(sequence,
		der(integer, []byte{1}), der(set, algorithm(m.Digest)), long(sequence, must(data), long(zero, content)), certs, der(set, infos),
	))), nil
}

func (m Message) signerInfo() ([]byte, error) {
	sum := sha256.Sum256(m.Content)
	var attributes []byte
	signed := sum
	if !m.Signed.IsZero() {
		attributes = slices.Concat(
			attribute(OID{1, 2, 840, 113549, 1, 9, 3}, must(data)),
			attribute(OID{1, 2, 840, 113549, 1, 9, 5}, must(m.Signed.UTC())),
			attribute(OID{1, 2, 840, 113549, 1, 9, 4}, der(octets, sum[:])),
		)
		signed = sha256.Sum256(der(set, attributes))
		attributes = der(zero, attributes)
	}
	sig, err := rsa.SignPKCS1v15(rand.Reader, m.By.Key, crypto.SHA256, signed[:])
	if err != nil {
		return nil, err
	}
	return der(sequence,
		der(integer, []byte{1}), der(sequence, m.By.Cert.RawIssuer, must(m.By.Cert.SerialNumber)),
		algorithm(m.Digest), attributes, algorithm(m.Encryption), der(octets, sig),
	), nil
}
