package capbroker

import "crypto/ed25519"

// signer signs with the key of a broker.
type signer struct{ private ed25519.PrivateKey }

// signAll returns the signature of each text.
func (s signer) signAll(texts [][]byte) [][ed25519.SignatureSize]byte {
	all := make([][ed25519.SignatureSize]byte, len(texts))
	for i, text := range texts {
		copy(all[i][:], ed25519.Sign(s.private, text))
	}
	return all
}
