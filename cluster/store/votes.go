package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"github.com/grafos/grafos/cluster/store/disk"
)

// The second copy of the stable values is a file of two slots. A generation is written, in
// place, into the slot that its number names, over the generation before the last: the
// other slot stays whole whatever becomes of the write.
//
//	offset  bytes
//	0       4     CRC-32C of the rest of the slot
//	4       4     "GRV1"
//	8       8     generation
//	16      2     number of values
//	18            for each value: length of key and of value, two bytes each; key; value
//
// The rest of a slot is zero.
const (
	slotLen     = 4096
	slotMagic   = "GRV1"
	slotHeadLen = 18
)

// copied is what the second copy holds.
type copied struct {
	values
	torn bool // only one slot is whole
}

// votes is the second copy, open.
type votes struct {
	path string
	f    *os.File
}

// readVotes reads the second copy at path; ok is false where there is none.
func readVotes(path string) (c copied, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return copied{}, false, nil
	}
	if err != nil {
		return copied{}, false, fmt.Errorf("read term and vote: %w", err)
	}
	if c, err = parseVotes(b); err != nil {
		return copied{}, false, &CorruptError{File: path, Why: err.Error()}
	}
	return c, true, nil
}

// parseVotes reads both slots and returns the newer one. The error says what is wrong.
func parseVotes(b []byte) (copied, error) {
	if len(b) != 2*slotLen {
		return copied{}, fmt.Errorf("it has %d bytes, not %d", len(b), 2*slotLen)
	}
	even, errEven := parseSlot(b[:slotLen], 0)
	odd, errOdd := parseSlot(b[slotLen:], 1)
	wholeEven, wholeOdd := errEven == nil, errOdd == nil
	switch {
	case !wholeEven && !wholeOdd:
		return copied{}, errors.Join(errEven, errOdd)
	case !wholeEven:
		return copied{odd, true}, nil
	case !wholeOdd:
		return copied{even, true}, nil
	case even.generation+1 == odd.generation:
		return copied{odd, false}, nil
	case odd.generation+1 == even.generation:
		return copied{even, false}, nil
	}
	return copied{}, fmt.Errorf("its slots are of generations %d and %d", even.generation, odd.generation)
}

func parseSlot(b []byte, parity uint64) (values, error) {
	if want, got := binary.BigEndian.Uint32(b), crc32.Checksum(b[4:], castagnoli()); want != got {
		return values{}, fmt.Errorf("slot %d: checksum %08x, content has %08x", parity, want, got)
	}
	if string(b[4:8]) != slotMagic {
		return values{}, fmt.Errorf("slot %d: it is of another format than this release knows", parity)
	}
	v := values{generation: binary.BigEndian.Uint64(b[8:]), held: map[string]value{}}
	if v.generation%2 != parity {
		return values{}, fmt.Errorf("slot %d holds generation %d", parity, v.generation)
	}
	rest := b[slotHeadLen:]
	for range binary.BigEndian.Uint16(b[16:]) {
		if len(rest) < 4 {
			return values{}, fmt.Errorf("slot %d ends within its values", parity)
		}
		k, n := int(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		if rest = rest[4:]; k+n > len(rest) {
			return values{}, fmt.Errorf("slot %d ends within its values", parity)
		}
		v.held[string(rest[:k])] = value{bytes: rest[k : k+n : k+n], generation: v.generation}
		rest = rest[k+n:]
	}
	return v, nil
}

// printSlot is what parseSlot reads.
func printSlot(v values) ([]byte, error) {
	b := make([]byte, slotHeadLen, slotLen)
	copy(b[4:], slotMagic)
	binary.BigEndian.PutUint64(b[8:], v.generation)
	binary.BigEndian.PutUint16(b[16:], uint16(len(v.held)))
	for _, key := range v.keys() {
		val := v.held[key].bytes
		if len(b)+4+len(key)+len(val) > slotLen {
			return nil, fmt.Errorf("store %s: the stable values take more than %d bytes", key, slotLen)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
		b = binary.BigEndian.AppendUint16(b, uint16(len(val)))
		b = append(append(b, key...), val...)
	}
	b = b[:slotLen]
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	return b, nil
}

// createVotes makes the second copy of v, which are of the first generation.
func createVotes(path string, v values) error {
	v.generation = firstGeneration - 1
	even, err := printSlot(v)
	if err != nil {
		return err
	}
	v.generation = firstGeneration
	odd, err := printSlot(v)
	if err != nil {
		return err
	}
	return disk.WriteFile(path, append(even, odd...))
}

// openVotes opens the second copy for writing.
func openVotes(path string) (*votes, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open term and vote: %w", err)
	}
	return &votes{path, f}, nil
}

// write returns when v is on disk, in its slot.
func (s *votes) write(v values) error {
	b, err := printSlot(v)
	if err != nil {
		return err
	}
	if _, err := s.f.WriteAt(b, int64(v.generation%2)*slotLen); err != nil {
		return disk.Explain("write term and vote to", s.path, err)
	}
	return disk.Explain("sync term and vote in", s.path, datasync(s.f))
}

func (s *votes) close() error { return s.f.Close() }
