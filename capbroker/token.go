package capbroker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// MaxToken bounds a capability token as the cell mints it, in bytes; with the links of its
// holders it is at most holder.MaxChain.
const MaxToken = 2 << 10

// tokenVersion is the only version of the claims that is known.
const tokenVersion = 2

// dataPlane stands behind the cell in the audience of every token.
const dataPlane = "/data"

// Operations that a token may allow.
const (
	OpRead  = "read"
	OpWrite = "write"
)

// Claims is what a verified token says.
type Claims struct {
	LeaseID    api.LeaseID
	Run        api.RunID
	Generation uint64
	Epoch      uint64
	// CellEpoch is the registration of the agent that minted it.
	CellEpoch uint64
	Tenant    api.TenantID
	Kind      api.LeaseKind
	Amount    int64
	// Issuer is the cell that minted it, Audience the data plane that it is for.
	Issuer, Audience               string
	IssuedAt, NotBefore, ExpiresAt time.Time
	// Ops are the operations that are allowed: read, write. None is a token that proves the
	// lease and opens nothing.
	Ops []string
	// Holder names the key of who may use it; the zero one is whoever has it.
	Holder holder.Thumbprint
	// Links are what its holders narrowed it to. All of them hold.
	Links []holder.Link
}

// footer is sent in the open beside the claims, and signed with them.
type footer struct {
	KeyID string `json:"kid"`
}

// body is the claims as they stand in a token: the registered names of PASETO, then ours.
type body struct {
	Version    int           `json:"v"`
	ID         string        `json:"jti"`
	Issuer     string        `json:"iss"`
	Audience   string        `json:"aud"`
	Tenant     api.TenantID  `json:"sub"`
	IssuedAt   time.Time     `json:"iat"`
	NotBefore  time.Time     `json:"nbf"`
	ExpiresAt  time.Time     `json:"exp"`
	LeaseID    api.LeaseID   `json:"lease"`
	Run        api.RunID     `json:"run,omitempty"`
	Generation uint64        `json:"generation"`
	Epoch      uint64        `json:"epoch"`
	CellEpoch  uint64        `json:"cell_epoch"`
	Kind       api.LeaseKind `json:"kind"`
	Amount     int64         `json:"amount"`
	Holder     string        `json:"cnf,omitempty"`
	// Caveats is an object of those that are known; what a cell mints has ops.
	Caveats json.RawMessage `json:"caveats,omitempty"`
}

// decodeBody reads the claims strictly: what is not known might have been a restriction.
func decodeBody(data []byte) (Claims, error) {
	var b body
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return Claims{}, notOurs("decode claims: %v", err)
	}
	if b.Version != tokenVersion {
		return Claims{}, notOurs("version is %d, this cell reads version %d", b.Version, tokenVersion)
	}
	if b.LeaseID == "" || b.IssuedAt.IsZero() || b.NotBefore.IsZero() || b.ExpiresAt.IsZero() {
		return Claims{}, notOurs("lease, iat, nbf or exp is missing")
	}
	if life := b.ExpiresAt.Sub(b.IssuedAt); life <= 0 || life > api.MaxTokenLife {
		return Claims{}, notOurs("it lives %s: more than none, at most %s", life, api.MaxTokenLife)
	}
	return b.claims()
}

// claims reads the parts of a body that have a form of their own.
func (b body) claims() (Claims, error) {
	c := Claims{
		LeaseID: b.LeaseID, Run: b.Run, Generation: b.Generation, Epoch: b.Epoch, CellEpoch: b.CellEpoch,
		Tenant: b.Tenant, Kind: b.Kind, Amount: b.Amount, Issuer: b.Issuer, Audience: b.Audience,
		IssuedAt: b.IssuedAt, NotBefore: b.NotBefore, ExpiresAt: b.ExpiresAt,
	}
	if b.Holder != "" {
		t, err := holder.ParseThumbprint(b.Holder)
		if err != nil {
			return Claims{}, notOurs("cnf: %v", err)
		}
		c.Holder = t
	}
	if len(b.Caveats) == 0 {
		return c, nil
	}
	var said holder.Caveats
	if err := holder.DecodeCaveats(b.Caveats, &said); err != nil {
		return Claims{}, err
	}
	c.Ops = said.Ops
	if said.Ops = nil; !said.Free() {
		return Claims{}, notOurs("no cell mints a token with caveats other than ops")
	}
	return c, nil
}

func notOurs(format string, args ...any) *api.Error {
	return api.Refuse(api.BadSignature, "the capability token is not one of ours: %s", fmt.Sprintf(format, args...))
}

// opensBytes reports whether a lease is read and written by its holder: regions and blocks
// are. A run's linear memory, cpu, net and gpu are used by the run alone.
func opensBytes(l api.Lease) bool {
	return l.Kind == api.KindBlock || (l.Kind == api.KindMem && l.Use != api.UseLinear)
}
