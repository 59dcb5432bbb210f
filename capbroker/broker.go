package capbroker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"aidanwoods.dev/go-paseto"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/holder"
)

// Config says whose tokens a Broker mints.
type Config struct {
	// ClusterID and Cell are what tokens are bound to; both are needed.
	ClusterID string
	Cell      api.CellID
	// Now is the clock that tokens are dated and judged by. It should not be set back while
	// the agent lives: nil is the time of New plus the monotonic time since.
	Now func() time.Time
	// Key is what tokens are signed with, where a test has to know it; nil is a new one.
	Key ed25519.PrivateKey
}

// Broker mints and verifies the tokens of one cell. It is safe for concurrent use; printed,
// it shows no key.
type Broker struct {
	cell     api.CellID
	audience string
	now      func() time.Time
	signer   signer
	public   paseto.V4AsymmetricPublicKey
	implicit []byte
	frame    frame
	kid      string
	opens    []byte // the caveats of a token that reads and writes
	epoch    atomic.Uint64
	cache    *cache
	nonces   *nonces
}

// New makes a Broker with a new key.
func New(c Config) (*Broker, error) {
	if err := api.CheckName("cluster id", c.ClusterID); err != nil {
		return nil, err
	}
	if err := api.CheckName("cell id", string(c.Cell)); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = monotonic(clock.System())
	}
	pub, secret, err := c.keys()
	if err != nil {
		return nil, err
	}
	public, err := paseto.NewV4AsymmetricPublicKeyFromEd25519(pub)
	if err != nil {
		return nil, fmt.Errorf("take broker key: %w", err)
	}
	opens, err := json.Marshal(holder.Caveats{Ops: []string{OpRead, OpWrite}})
	if err != nil {
		return nil, fmt.Errorf("encode caveats: %w", err)
	}
	nonces, err := newNonces()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(pub)
	b := &Broker{
		cell: c.Cell, audience: string(c.Cell) + dataPlane, now: c.Now, opens: opens, cache: newCache(), nonces: nonces, signer: signer{secret}, public: public,
		// Names have no '/', so no two pairs give the same bytes.
		implicit: []byte(c.ClusterID + "/" + string(c.Cell)),
		kid:      hex.EncodeToString(sum[:8]),
	}
	foot, err := json.Marshal(footer{KeyID: b.kid})
	if err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	b.frame = newFrame(foot, b.implicit)
	return b, nil
}

// keys are the halves of the broker's key.
func (c Config) keys() (ed25519.PublicKey, ed25519.PrivateKey, error) {
	if c.Key != nil {
		if len(c.Key) != ed25519.PrivateKeySize {
			return nil, nil, errors.New("broker key is no Ed25519 key")
		}
		return ed25519.PublicKey(c.Key[ed25519.SeedSize:]), c.Key, nil
	}
	pub, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make broker key: %w", err)
	}
	return pub, secret, nil
}

// monotonic is a clock that a step of the wall clock does not move.
func monotonic(c clock.Clock) func() time.Time {
	start := c.Now()
	return func() time.Time { return start.Add(clock.Since(c, start)) }
}

// SetEpoch is told of a registration: tokens say in which one they were minted, and those of
// another are refused.
func (b *Broker) SetEpoch(epoch uint64) { b.epoch.Store(epoch) }

// Challenge returns a nonce for the proof of a holder. It holds for a short time, and once.
func (b *Broker) Challenge() string { return b.nonces.issue(b.now()) }

// PublicKey returns the hex Ed25519 key that the broker's tokens verify with.
func (b *Broker) PublicKey() string { return b.public.ExportHex() }

// String names the broker without its key.
func (b *Broker) String() string { return "broker of cell " + string(b.cell) + ", key " + b.kid }

// GoString is String, so that no way of printing shows the key.
func (b *Broker) GoString() string { return b.String() }
