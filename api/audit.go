package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// AuditRecord is one link of the audit chain, as it is kept, sent and verified: one JSON
// object a line.
type AuditRecord struct {
	Sequence  uint64          `json:"sequence"`
	Timestamp int64           `json:"timestamp_unix"`
	Kind      string          `json:"kind"`
	Identity  string          `json:"identity"`
	Data      json.RawMessage `json:"event_data"`
	PrevHash  string          `json:"prev_event_hash"`
	Hash      string          `json:"current_event_hash"`
}

// Clone returns the record with data of its own.
func (r AuditRecord) Clone() AuditRecord {
	r.Data = bytes.Clone(r.Data)
	return r
}

// AuditGenesis is the previous hash of the first record.
const AuditGenesis = "0000000000000000000000000000000000000000000000000000000000000000"

// AuditHash returns the hex SHA-256 that chains a record to the one before it: over the
// previous hash, the sequence, the time, and the kind, identity and compacted data, each
// preceded by its length so that no two records share bytes.
func AuditHash(r AuditRecord) (string, error) {
	var data bytes.Buffer
	if err := json.Compact(&data, r.Data); err != nil {
		return "", fmt.Errorf("compact event data of record %d: %w", r.Sequence, err)
	}
	r.Data = data.Bytes()
	return AuditHashCompact(r), nil
}

// AuditHashCompact is AuditHash for a record whose data is compact JSON for certain, because
// an encoder just made it.
func AuditHashCompact(r AuditRecord) string {
	b := make([]byte, 0, 1024)
	b = append(append(b, r.PrevHash...), '\n')
	b = append(strconv.AppendUint(b, r.Sequence, 10), '\n')
	b = append(strconv.AppendInt(b, r.Timestamp, 10), '\n')
	for _, text := range [...]string{r.Kind, r.Identity} {
		b = append(strconv.AppendInt(b, int64(len(text)), 10), ':')
		b = append(append(b, text...), '\n')
	}
	b = append(strconv.AppendInt(b, int64(len(r.Data)), 10), ':')
	b = append(append(b, r.Data...), '\n')
	sum := sha256.Sum256(b)
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return string(digits[:])
}

// compact reports whether data is JSON without white space between its tokens.
func compact(data json.RawMessage) bool {
	inText := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			inText = !inText
		case c == '\\' && inText:
			i++
		case c <= ' ' && !inText:
			return false
		}
	}
	return json.Valid(data)
}

// AuditHead is the newest link: what the replicated state keeps of the chain.
type AuditHead struct {
	Sequence uint64 `json:"sequence"`
	Hash     string `json:"hash"`
}

// AuditVerifier checks a chain record by record, in order.
type AuditVerifier struct {
	head AuditHead
}

// NewAuditVerifier starts after head; the zero head starts at the beginning of the chain.
func NewAuditVerifier(head AuditHead) *AuditVerifier {
	if head.Sequence == 0 {
		head.Hash = AuditGenesis
	}
	return &AuditVerifier{head: head}
}

// Next checks that r follows what was checked before, unaltered. The error names the record.
func (v *AuditVerifier) Next(r AuditRecord) error {
	if want := v.head.Sequence + 1; r.Sequence != want {
		return Refuse(Conflict, "audit record %d follows record %d: a record was dropped, inserted or swapped", r.Sequence, v.head.Sequence)
	}
	if r.PrevHash != v.head.Hash {
		return Refuse(Conflict, "audit record %d does not chain to record %d: its previous hash is %s, not %s",
			r.Sequence, v.head.Sequence, clip(r.PrevHash, 16), clip(v.head.Hash, 16))
	}
	hash, err := AuditHashCompact(r), error(nil)
	if !compact(r.Data) { // most are as they were made
		hash, err = AuditHash(r)
	}
	if err != nil {
		return Refuse(Conflict, "audit record %d cannot be hashed: %v", r.Sequence, err)
	}
	if hash != r.Hash {
		return Refuse(Conflict, "audit record %d was altered: its content hashes to %s, it says %s", r.Sequence, clip(hash, 16), clip(r.Hash, 16))
	}
	v.head = AuditHead{Sequence: r.Sequence, Hash: r.Hash}
	return nil
}

// Head returns the newest record that was checked.
func (v *AuditVerifier) Head() AuditHead { return v.head }

// AuditFilter narrows an audit query.
type AuditFilter struct {
	From     uint64 // first sequence; 0 is 1
	To       uint64 // last sequence; 0 is the head
	Kind     string
	Identity string
	Limit    int
}

// AuditPage answers an audit query. Next continues it where it is not zero.
type AuditPage struct {
	Index   uint64        `json:"index"`
	Head    AuditHead     `json:"head"`
	Records []AuditRecord `json:"records"`
	Next    uint64        `json:"next,omitempty"`
	Freshness
}
