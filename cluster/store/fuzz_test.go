package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

// The checksums would keep a fuzzer from everything behind them, so they are made to fit: what
// is parsed then is what a forger could have written, and must neither panic nor hang.

// FuzzOpenEntry opens what is stored for an entry; what opens is sealed again as it was.
func FuzzOpenEntry(f *testing.F) {
	sealed, _ := sealEntry(entry(7, 3, "data"), 99)
	f.Add(sealed.Data, uint64(7), uint64(3), byte(0), []byte(nil), true)
	f.Add(sealV1(entry(7, 3, "data")).Data, uint64(7), uint64(3), byte(1), []byte("ext"), false)
	f.Fuzz(func(t *testing.T, data []byte, index, term uint64, kind byte, ext []byte, mend bool) {
		l := raft.Log{Index: index, Term: term, Type: raft.LogType(kind), Data: bytes.Clone(data), Extensions: ext}
		if mend {
			mendEntry(&l)
		}
		stored := bytes.Clone(l.Data)
		at, err := openEntry(index, &l)
		if err != nil || !at.chained {
			return
		}
		again, sum := sealEntry(&l, at.prev)
		if sum != at.sum || !bytes.Equal(again.Data, stored) {
			t.Errorf("opened %x, sealed again %x", stored, again.Data)
		}
	})
}

func mendEntry(l *raft.Log) {
	for _, n := range []int{entryV2Len, envelopeV1Len} {
		if len(l.Data) >= n && (l.Data[0] == envelopeV2) == (n == entryV2Len) {
			_, before, payload, err := unseal(l.Data, entryV2Len)
			if err == nil {
				binary.BigEndian.PutUint32(l.Data[1:], entrySum(l, before, payload))
			}
		}
	}
}

// FuzzOpenValue opens what is stored for a stable value.
func FuzzOpenValue(f *testing.F) {
	f.Add([]byte("CurrentTerm"), sealValue([]byte("CurrentTerm"), 2, key(3)))
	f.Add([]byte(""), []byte{envelopeV1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, name, stored []byte) {
		if _, before, payload, err := unseal(stored, valueV2Len); err == nil {
			stored = bytes.Clone(stored)
			binary.BigEndian.PutUint32(stored[1:], valueSum(name, before, payload))
			_, before, payload, _ = unseal(stored, valueV2Len)
			if _, generation, err := openValue(name, stored); err == nil && before != nil && generation != binary.BigEndian.Uint64(before) {
				t.Errorf("generation %d of %x (%x)", generation, stored, payload)
			}
		}
		openValue(name, stored) //nolint:errcheck // only that it ends
	})
}

// FuzzVotes parses the second copy; what a slot is parsed to prints and parses to the same.
func FuzzVotes(f *testing.F) {
	v := values{generation: 4, held: map[string]value{}}.with("CurrentTerm", key(3)).with("LastVoteCand", []byte("s1"))
	for _, generation := range []uint64{0, 1, 5} {
		v.generation = generation
		slot, err := printSlot(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(slot[4:64], slot[4:64])
	}
	f.Fuzz(func(t *testing.T, even, odd []byte) {
		b := make([]byte, 2*slotLen)
		for i, content := range [][]byte{even, odd} {
			slot := b[i*slotLen : (i+1)*slotLen]
			copy(slot[4:], content)
			binary.BigEndian.PutUint32(slot, crc32.Checksum(slot[4:], castagnoli()))
		}
		c, err := parseVotes(b)
		if err != nil {
			return
		}
		slot, err := printSlot(c.values)
		if err != nil {
			t.Fatalf("parsed what does not print: %v", err)
		}
		again, err := parseSlot(slot, c.generation%2)
		if err != nil || !again.equal(c.values) {
			t.Errorf("printed again it is %v, %v", again, err)
		}
	})
}

// FuzzMark parses the mark.
func FuzzMark(f *testing.F) {
	f.Add(mark{last: 9, sum: 8, snap: 7, sterm: 6}.encode()[4:])
	f.Fuzz(func(t *testing.T, content []byte) {
		b := make([]byte, markLen)
		copy(b[4:], content)
		binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
		if m, err := parseMark(b); err == nil {
			if again, err := parseMark(m.encode()); err != nil || again != m {
				t.Errorf("%+v prints to %+v, %v", m, again, err)
			}
		}
		parseMark(content) //nolint:errcheck // only that it ends
	})
}

// FuzzWALMeta parses the meta file of a WAL.
func FuzzWALMeta(f *testing.F) {
	b, err := printWALState(types.PersistentState{NextSegmentID: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[8:])
	f.Add([]byte(`{"NextSegmentID":3,"Segments":[{"ID":2,"BaseIndex":9,"MinIndex":9,"SizeLimit":65536,"Codec":1}]}`))
	f.Fuzz(func(_ *testing.T, content []byte) {
		b := append(append(make([]byte, 4), walMagic...), content...)
		binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
		parseWALState(b)       //nolint:errcheck // only that it ends
		parseWALState(content) //nolint:errcheck // only that it ends
	})
}

// FuzzScanTail scans the last segment of a WAL.
func FuzzScanTail(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(make([]byte, walHeaderLen), 1, 0, 0, 0, 4, 0, 0, 0, 'd', 'a', 't', 'a', 0, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		tail, err := scanTail(bytes.NewReader(b), int64(len(b)))
		if err == nil && (tail.end > int64(len(b)) || tail.indexStart > uint64(len(b)) || tail.entries > uint64(len(b))) {
			t.Errorf("%d bytes are scanned as %+v", len(b), tail)
		}
	})
}

// FuzzWalkBolt walks a bolt file: it must end, within the file, without a panic.
func FuzzWalkBolt(f *testing.F) {
	f.Add(boltSeed(f))
	f.Fuzz(func(_ *testing.T, b []byte) {
		mendMetas(b)
		walkBolt(bytes.NewReader(b), int64(len(b)), func(_, _, _ []byte) error { return nil }) //nolint:errcheck // only that it ends
	})
}
