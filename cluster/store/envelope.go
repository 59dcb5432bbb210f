package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/mutant"
)

// The first byte of every stored payload is the version of its envelope. A node that meets
// another one stops: it cannot know what the bytes mean. The first version is read, never
// written: a log may begin with entries of the release before.
const (
	envelopeV1 = 1 // version, CRC-32C, payload
	envelopeV2 = 2 // version, CRC-32C, link, payload

	envelopeV1Len = 5
	entryV2Len    = envelopeV1Len + 4 // an entry links to the checksum of the entry before it
	valueV2Len    = envelopeV1Len + 8 // a stable value has a generation
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// link is an entry's place in the chain.
type link struct {
	sum     uint32 // its own checksum
	prev    uint32 // that of the entry before it; 0 where it was the first to be written
	chained bool   // false for an entry of the first version, which has no prev
}

// entrySum covers all that Raft relies on, the place of the entry included, so that an entry
// in another's place is found too. before is what stands between checksum and payload.
func entrySum(l *raft.Log, before, payload []byte) uint32 {
	head := make([]byte, 0, 48)
	head = binary.BigEndian.AppendUint64(head, l.Index)
	head = binary.BigEndian.AppendUint64(head, l.Term)
	head = append(head, byte(l.Type))
	head = appendTime(head, l.AppendedAt, before == nil)
	head = binary.BigEndian.AppendUint64(head, uint64(len(l.Extensions)))
	table := castagnoli()
	sum := crc32.Update(crc32.Checksum(head, table), table, l.Extensions)
	return crc32.Update(crc32.Update(sum, table, before), table, payload)
}

// appendTime appends what a checksum covers of a time. The first version took nanoseconds,
// which the times of some far centuries share.
func appendTime(b []byte, t time.Time, v1 bool) []byte {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	if v1 {
		return binary.BigEndian.AppendUint64(b, uint64(t.UnixNano()))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// sealEntry returns a copy of l whose data is wrapped and chained to prev, and its checksum;
// l is left as it is.
func sealEntry(l *raft.Log, prev uint32) (*raft.Log, uint32) {
	sealed := *l
	before := binary.BigEndian.AppendUint32(nil, prev)
	sum := entrySum(l, before, l.Data)
	sealed.Data = seal(sum, before, l.Data)
	return &sealed, sum
}

// openEntry unwraps, in place, an entry that was read for index. The error says what is wrong.
func openEntry(index uint64, l *raft.Log) (link, error) {
	if l.Index != index {
		return link{}, fmt.Errorf("it says that it is entry %d", l.Index)
	}
	sum, before, payload, err := unseal(l.Data, entryV2Len)
	if err != nil {
		return link{}, err
	}
	if want := entrySum(l, before, payload); want != sum && !mutant.On(mutant.BlindLog) {
		return link{}, fmt.Errorf("checksum %08x, content has %08x", sum, want)
	}
	l.Data = payload
	if len(l.Extensions) == 0 {
		l.Extensions = nil
	}
	if before == nil {
		return link{sum: sum}, nil
	}
	return link{sum: sum, prev: binary.BigEndian.Uint32(before), chained: true}, nil
}

func valueSum(key, before, value []byte) uint32 {
	table := castagnoli()
	head := binary.BigEndian.AppendUint64(nil, uint64(len(key)))
	sum := crc32.Update(crc32.Checksum(head, table), table, key)
	return crc32.Update(crc32.Update(sum, table, before), table, value)
}

func sealValue(key []byte, generation uint64, value []byte) []byte {
	before := binary.BigEndian.AppendUint64(nil, generation)
	return seal(valueSum(key, before, value), before, value)
}

// openValue unwraps a stable value. One of the first version is of the first generation.
func openValue(key, stored []byte) (value []byte, generation uint64, err error) {
	sum, before, value, err := unseal(stored, valueV2Len)
	if err != nil {
		return nil, 0, err
	}
	if want := valueSum(key, before, value); want != sum {
		return nil, 0, fmt.Errorf("checksum %08x, content has %08x", sum, want)
	}
	if before == nil {
		return value, firstGeneration, nil
	}
	generation = binary.BigEndian.Uint64(before)
	if generation <= firstGeneration {
		return nil, 0, fmt.Errorf("generation %d is nobody's", generation)
	}
	return value, generation, nil
}

func seal(sum uint32, before, payload []byte) []byte {
	b := slices.Grow([]byte(nil), envelopeV1Len+len(before)+len(payload))
	b = append(b, envelopeV2)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(append(b, before...), payload...)
}

// unseal splits what is stored. before, between checksum and payload, is nil in the first
// version; in the second it ends where v2Len says.
func unseal(b []byte, v2Len int) (sum uint32, before, payload []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, fmt.Errorf("%d bytes are too few for its envelope", len(b))
	}
	n := envelopeV1Len
	switch b[0] {
	case envelopeV1:
	case envelopeV2:
		n = v2Len
	default:
		return 0, nil, nil, fmt.Errorf("envelope version %d, this release knows %d", b[0], envelopeV2)
	}
	if len(b) < n {
		return 0, nil, nil, fmt.Errorf("%d bytes are too few for its envelope", len(b))
	}
	if n > envelopeV1Len {
		before = b[envelopeV1Len:n]
	}
	if payload = b[n:]; len(payload) == 0 {
		payload = nil
	}
	return binary.BigEndian.Uint32(b[1:]), before, payload, nil
}
