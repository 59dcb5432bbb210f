package rumor

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/grafos/grafos/api"
)

// MaxMeta bounds the bytes of a printed Meta: what memberlist carries with every member.
const MaxMeta = 512

// Meta is what a scheduler tells of itself.
type Meta struct {
	Node     api.NodeID `json:"node_id"`
	URL      string     `json:"url"`
	RaftAddr string     `json:"raft_addr"`
	Expect   int        `json:"expect,omitempty"`    // --bootstrap-expect
	HasState bool       `json:"has_state,omitempty"` // it has, or has heard of, a cluster with data
	Asks     bool       `json:"asks,omitempty"`      // it has no place in a group, and asks for one
	Version  string     `json:"version,omitempty"`
	Level    uint32     `json:"level,omitempty"` // the newest feature level that it knows
}

// Member is a scheduler that gossip knows.
type Member struct {
	Meta
	// Addr is its gossip address.
	Addr string
	// Alive is false for one that left, or that died.
	Alive bool
}

// Encode prints m, or says that it is too large.
func (m Meta) Encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode gossip meta: %w", err)
	}
	if len(b) > MaxMeta {
		return nil, fmt.Errorf("gossip meta takes %d bytes, at most %d are told", len(b), MaxMeta)
	}
	return b, nil
}

// DecodeMeta reads the meta of the member name. Fields of a later release are passed over:
// meta changes while a cluster is upgraded.
func DecodeMeta(name string, b []byte) (Meta, error) {
	var m Meta
	if len(b) > MaxMeta {
		return Meta{}, errors.New("its meta is too large")
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Meta{}, fmt.Errorf("decode its meta: %w", err)
	}
	if err := api.CheckName("node", name); err != nil {
		return Meta{}, err
	}
	if string(m.Node) != name {
		return Meta{}, fmt.Errorf("its meta is of node %q", m.Node)
	}
	if m.Expect < 0 {
		return Meta{}, fmt.Errorf("its meta expects %d schedulers", m.Expect)
	}
	return m, nil
}
