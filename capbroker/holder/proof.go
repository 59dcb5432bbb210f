package holder

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/grafos/grafos/api"
)

// Headers of a request on the data plane.
const (
	ProofHeader = api.HeaderProof
	NonceHeader = api.HeaderNonce
)

const (
	// MaxProof bounds a proof, in bytes.
	MaxProof = 1 << 10
	// maxNonce bounds a nonce in it, before it is decoded.
	maxNonce = 128
)

// Request is what a proof is about: one operation with one token.
type Request struct {
	Op             string // read or write
	Lease          api.LeaseID
	Cell           api.CellID
	Token          string // as it is sent
	Offset, Length int64
	// Body is the SHA-256 of what is written; of a read it is zero.
	Body [sha256.Size]byte
}

// text is what is signed.
func (r Request) text(nonce string) []byte {
	token := sha256.Sum256([]byte(r.Token))
	var span [16]byte
	binary.LittleEndian.PutUint64(span[:8], uint64(r.Offset))
	binary.LittleEndian.PutUint64(span[8:], uint64(r.Length))
	return encode([]byte("grafos proof 1"), []byte(r.Op), []byte(r.Lease), []byte(r.Cell), token[:], span[:], r.Body[:], []byte(nonce))
}

// Prove signs one request with a nonce that the cell issued.
func (k *Key) Prove(r Request, nonce string) (string, error) {
	sig, err := k.sign(r.text(nonce))
	if err != nil {
		return "", err
	}
	return b64(k.spki) + "." + nonce + "." + b64(sig), nil
}

// Verify checks that the key named cnf signed this request, and returns the nonce that it was
// signed with: whether that is one of the cell's, and new, is for the caller to say.
func Verify(proof string, cnf Thumbprint, r Request) (nonce string, err error) {
	if len(proof) > MaxProof {
		return "", api.Refuse(api.TooLarge, "the holder's proof is %d bytes long: at most %d", len(proof), MaxProof)
	}
	parts := strings.Split(proof, ".")
	if len(parts) != 3 || len(parts[1]) > maxNonce {
		return "", badProof("it has not the form KEY.NONCE.SIGNATURE")
	}
	spki, err := unb64(parts[0])
	if err != nil {
		return "", badProof("its key cannot be read: %v", err)
	}
	sig, err := unb64(parts[2])
	if err != nil {
		return "", badProof("its signature cannot be read: %v", err)
	}
	if got := ThumbprintOf(spki); got != cnf {
		return "", badProof("it is of key %s, the token is for the holder of key %s", got, cnf)
	}
	if err := verify(spki, r.text(parts[1]), sig); err != nil {
		return "", badProof("%v for this %s of %d bytes at %d", err, r.Op, r.Length, r.Offset)
	}
	return parts[1], nil
}

func badProof(format string, args ...any) *api.Error {
	return api.Refuse(api.BadSignature, "the holder's proof is refused: %s", fmt.Sprintf(format, args...)).
		WithHint("a token that names a holder's key is of use to nobody else")
}
