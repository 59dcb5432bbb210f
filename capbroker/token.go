package capbroker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// MaxToken bounds a capability token, in bytes.
const MaxToken = 2 << 10

// tokenVersion is the only version of the claims that is known.
const tokenVersion = 1

// Operations that a token may allow.
const (
	OpRead  = "read"
	OpWrite = "write"
)

// Claims is what a verified token says.
type Claims struct {
	LeaseID    api.LeaseID
	Generation uint64
	Epoch      uint64
	Tenant     api.TenantID
	Kind       api.LeaseKind
	Amount     int64
	// Audience is the cell that the token is for.
	Audience            string
	IssuedAt, ExpiresAt time.Time
	// Ops are the operations that are allowed: read, write. None is a token that proves the
	// lease and opens nothing.
	Ops []string
}

// footer is sent in the open beside the claims, and signed with them.
type footer struct {
	KeyID string `json:"kid"`
}

// body is the claims as they stand in a token: the registered names of PASETO, then ours.
type body struct {
	Version    int           `json:"v"`
	ID         string        `json:"jti"`
	Audience   string        `json:"aud"`
	Tenant     api.TenantID  `json:"sub"`
	IssuedAt   time.Time     `json:"iat"`
	ExpiresAt  time.Time     `json:"exp"`
	LeaseID    api.LeaseID   `json:"lease"`
	Generation uint64        `json:"generation"`
	Epoch      uint64        `json:"epoch"`
	Kind       api.LeaseKind `json:"kind"`
	Amount     int64         `json:"amount"`
	Ops        []string      `json:"ops,omitempty"`
}

// decodeBody reads the claims strictly: what is not known might have been a restriction.
func decodeBody(data []byte) (body, error) {
	var b body
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return body{}, fmt.Errorf("decode claims: %w", err)
	}
	if b.Version != tokenVersion {
		return body{}, fmt.Errorf("version is %d, this cell reads version %d", b.Version, tokenVersion)
	}
	if b.LeaseID == "" || b.IssuedAt.IsZero() || b.ExpiresAt.IsZero() {
		return body{}, errors.New("lease, iat or exp is missing")
	}
	if life := b.ExpiresAt.Sub(b.IssuedAt); life <= 0 || life > api.MaxTokenLife {
		return body{}, fmt.Errorf("it lives %s: more than none, at most %s", life, api.MaxTokenLife)
	}
	return b, nil
}

func (b body) claims() Claims {
	return Claims{
		LeaseID: b.LeaseID, Generation: b.Generation, Epoch: b.Epoch, Tenant: b.Tenant, Kind: b.Kind, Amount: b.Amount,
		Audience: b.Audience, IssuedAt: b.IssuedAt, ExpiresAt: b.ExpiresAt, Ops: b.Ops,
	}
}

// opsOf returns what a token of a lease allows. Regions and blocks are read and written;
// a run's linear memory, cpu, net and gpu are used by the run alone.
func opsOf(l api.Lease) []string {
	switch l.Kind {
	case api.KindMem:
		if l.Use == api.UseLinear {
			return nil
		}
		return []string{OpRead, OpWrite}
	case api.KindBlock:
		return []string{OpRead, OpWrite}
	case api.KindCPU, api.KindNet, api.KindGPU:
		return nil
	}
	return nil
}
