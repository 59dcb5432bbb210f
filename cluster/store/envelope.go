package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/hashicorp/raft"
)

// envelopeVersion is the first byte of every stored payload. A node that meets another one
// stops: it cannot know what the bytes mean.
const envelopeVersion = 1

// envelopeLen is the length of what stands before a payload: version and CRC-32C.
const envelopeLen = 5

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// entrySum covers all that Raft relies on, the place of the entry included, so that an entry
// in another's place is found too.
func entrySum(l *raft.Log, payload []byte) uint32 {
	head := make([]byte, 0, 40)
	head = binary.BigEndian.AppendUint64(head, l.Index)
	head = binary.BigEndian.AppendUint64(head, l.Term)
	head = append(head, byte(l.Type))
	appended := int64(0)
	if !l.AppendedAt.IsZero() {
		appended = l.AppendedAt.UnixNano()
	}
	head = binary.BigEndian.AppendUint64(head, uint64(appended))
	head = binary.BigEndian.AppendUint64(head, uint64(len(l.Extensions)))
	table := castagnoli()
	sum := crc32.Update(crc32.Checksum(head, table), table, l.Extensions)
	return crc32.Update(sum, table, payload)
}

// sealEntry returns a copy of l whose data is wrapped; l is left as it is.
func sealEntry(l *raft.Log) *raft.Log {
	sealed := *l
	sealed.Data = seal(entrySum(l, l.Data), l.Data)
	return &sealed
}

// openEntry unwraps, in place, an entry that was read for index. The error says what is wrong.
func openEntry(index uint64, l *raft.Log) error {
	if l.Index != index {
		return fmt.Errorf("it says that it is entry %d", l.Index)
	}
	sum, payload, err := unseal(l.Data)
	if err != nil {
		return err
	}
	if want := entrySum(l, payload); want != sum {
		return fmt.Errorf("checksum %08x, content has %08x", sum, want)
	}
	l.Data = payload
	if len(l.Extensions) == 0 {
		l.Extensions = nil
	}
	return nil
}

func valueSum(key, value []byte) uint32 {
	table := castagnoli()
	head := binary.BigEndian.AppendUint64(nil, uint64(len(key)))
	return crc32.Update(crc32.Update(crc32.Checksum(head, table), table, key), table, value)
}

func sealValue(key, value []byte) []byte { return seal(valueSum(key, value), value) }

func openValue(key, stored []byte) ([]byte, error) {
	sum, value, err := unseal(stored)
	if err != nil {
		return nil, err
	}
	if want := valueSum(key, value); want != sum {
		return nil, fmt.Errorf("checksum %08x, content has %08x", sum, want)
	}
	return value, nil
}

func seal(sum uint32, payload []byte) []byte {
	b := slices.Grow([]byte(nil), envelopeLen+len(payload))
	b = append(b, envelopeVersion)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(b, payload...)
}

func unseal(b []byte) (sum uint32, payload []byte, err error) {
	if len(b) < envelopeLen {
		return 0, nil, fmt.Errorf("%d bytes are too few for its envelope", len(b))
	}
	if b[0] != envelopeVersion {
		return 0, nil, fmt.Errorf("envelope version %d, this release knows %d", b[0], envelopeVersion)
	}
	payload = b[envelopeLen:]
	if len(payload) == 0 {
		payload = nil
	}
	return binary.BigEndian.Uint32(b[1:]), payload, nil
}
