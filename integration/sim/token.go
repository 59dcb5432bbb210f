package sim

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/cellagent"
)

// tokenHead is how every capability token begins, and by which one is found where none may be.
const tokenHead = "v4.public."

// says is what a token says, whether it is true or not. Its times are the cell's clock.
type says struct {
	lease      api.LeaseID
	generation uint64
	cell       api.CellID
	from, ends int64
}

// saysOf reads a token without its signature: the cells look at that, each time that one is used.
func saysOf(token string) (says, error) {
	payload, _, _ := strings.Cut(strings.TrimPrefix(token, tokenHead), ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return says{}, err
	}
	if len(raw) < ed25519.SignatureSize {
		return says{}, errors.New("it is too short")
	}
	var b struct {
		Cell       api.CellID  `json:"iss"`
		Lease      api.LeaseID `json:"lease"`
		Generation uint64      `json:"generation"`
		From       time.Time   `json:"iat"`
		Ends       time.Time   `json:"exp"`
	}
	if err := json.Unmarshal(raw[:len(raw)-ed25519.SignatureSize], &b); err != nil {
		return says{}, err
	}
	return says{lease: b.Lease, generation: b.Generation, cell: b.Cell, from: b.From.UnixNano(), ends: b.Ends.UnixNano()}, nil
}

// minter is a cell's broker, whose tokens are noted.
type minter struct {
	*capbroker.Broker
	keeps *custody
}

// Verify verifies a token.
func (m minter) Verify(token string) (cellagent.Claims, error) {
	v, err := m.Broker.Verify(token)
	if err != nil {
		return nil, err // and no claims: a nil inside an interface is not nil
	}
	return v, nil
}

// Mint makes a token.
func (m minter) Mint(l api.Lease, left time.Duration) (string, error) {
	token, err := m.Broker.Mint(l, left)
	if err == nil {
		m.keeps.minted(l, token)
	}
	return token, err
}

// MintAll makes several.
func (m minter) MintAll(leases []api.Lease, left []time.Duration) ([]string, []error) {
	tokens, errs := m.Broker.MintAll(leases, left)
	for i, l := range leases {
		if errs[i] == nil {
			m.keeps.minted(l, tokens[i])
		}
	}
	return tokens, errs
}

// leaks says where a scheduler keeps a token, which it never may; nil is that it does not.
func leaks(data []byte) bool { return bytes.Contains(data, []byte(tokenHead)) }
