package holder

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// Named is what a token says of itself. Nothing of it is verified: that is what its cell does.
type Named struct {
	Lease     api.LeaseID
	Amount    int64
	ExpiresAt time.Time
	// Holder is the key that its root names, the zero one where it names none.
	Holder Thumbprint
}

// signatureSize is that of Ed25519, which stands behind the claims.
const signatureSize = 64

// ReadNamed reads a token as whoever has it can.
func ReadNamed(token string) (Named, error) {
	root, _, err := Cut(token)
	if err != nil {
		return Named{}, err
	}
	none := api.Refuse(api.InvalidArgument, "that is no capability token: grafos lease token LEASE gets one")
	text, ok := strings.CutPrefix(root, "v4.public.")
	if !ok {
		return Named{}, none
	}
	text, _, _ = strings.Cut(text, ".")
	data, err := unb64(text)
	if err != nil || len(data) <= signatureSize {
		return Named{}, none
	}
	var claims struct {
		Lease  api.LeaseID `json:"lease"`
		Amount int64       `json:"amount"`
		Ends   time.Time   `json:"exp"`
		Holder string      `json:"cnf"`
	}
	if err := json.Unmarshal(data[:len(data)-signatureSize], &claims); err != nil || claims.Lease == "" {
		return Named{}, none
	}
	n := Named{Lease: claims.Lease, Amount: claims.Amount, ExpiresAt: claims.Ends}
	if claims.Holder != "" {
		if n.Holder, err = ParseThumbprint(claims.Holder); err != nil {
			return Named{}, none
		}
	}
	return n, nil
}
