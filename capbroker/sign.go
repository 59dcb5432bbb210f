package capbroker

import (
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// signer signs with the key of a broker: Ed25519 as in RFC 8032, so that every signature is the one
// that crypto/ed25519 makes, of many texts at once. A third of a signature's time is one division,
// for its point to be written down; here one division is shared by all of them.
type signer struct {
	private ed25519.PrivateKey
	// scalar and prefix are made from the seed: what is multiplied, and what nonces are hashed from.
	scalar *edwards25519.Scalar
	prefix []byte
}

func newSigner(key ed25519.PrivateKey) (signer, error) {
	seed := sha512.Sum512(key.Seed())
	scalar, err := edwards25519.NewScalar().SetBytesWithClamping(seed[:32])
	if err != nil {
		return signer{}, fmt.Errorf("take broker key: %w", err)
	}
	return signer{private: key, scalar: scalar, prefix: seed[32:]}, nil
}

// point is the commitment of one signature, in projective coordinates.
type point struct {
	nonce   edwards25519.Scalar
	x, y, z field.Element
	// before is the product of the z of all points before this one.
	before field.Element
}

// signAll returns the signature of each text.
func (s signer) signAll(texts [][]byte) [][ed25519.SignatureSize]byte {
	public := s.private[ed25519.SeedSize:]
	points := make([]point, len(texts))
	product := new(field.Element).One()
	for i, text := range texts {
		p := &points[i]
		digest(&p.nonce, s.prefix, text)
		x, y, z, _ := new(edwards25519.Point).ScalarBaseMult(&p.nonce).ExtendedCoordinates()
		p.x, p.y, p.z, p.before = *x, *y, *z, *product
		product.Multiply(product, z)
	}
	all := make([][ed25519.SignatureSize]byte, len(texts))
	// The inverse of the product of all z, less one z after the other (Montgomery's trick). No z is
	// zero: the points are on the curve.
	inverse := new(field.Element).Invert(product)
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		var own, x, y field.Element
		own.Multiply(inverse, &p.before)
		inverse.Multiply(inverse, &p.z)
		x.Multiply(&p.x, &own)
		y.Multiply(&p.y, &own)
		out := all[i][:]
		copy(out, y.Bytes())
		out[31] |= byte(x.IsNegative() << 7)
		var challenge edwards25519.Scalar
		digest(&challenge, out[:32], public, texts[i])
		copy(out[32:], challenge.MultiplyAdd(&challenge, s.scalar, &p.nonce).Bytes())
	}
	return all
}

// digest sets a scalar to the hash of parts.
func digest(to *edwards25519.Scalar, parts ...[]byte) {
	h := sha512.New()
	for _, part := range parts {
		h.Write(part)
	}
	var sum [sha512.Size]byte
	if _, err := to.SetUniformBytes(h.Sum(sum[:0])); err != nil {
		panic(err) // it is for a sum of another length
	}
}
