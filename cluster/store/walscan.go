package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	walseg "github.com/hashicorp/raft-wal/segment"
)

// raft-wal verifies the last batch of its last segment when it opens it, and takes everything
// from the first frame on that it cannot read for a write that was torn. scanTail reads the
// segment to tell the two apart as far as they can be: a batch that is damaged before one
// that is whole was synced, and acknowledged.

const (
	walHeaderLen = 32
	walFrameLen  = 8
)

// walTail is what the last segment was found to hold.
type walTail struct {
	entries    uint64 // in whole batches
	end        int64  // where the last whole batch ends
	indexStart uint64 // where the index of a sealed segment begins; 0 is not sealed
	dirty      bool   // something other than zeros follows
}

// scanTail reads the segment behind r, size bytes long. The error says what is damaged.
func scanTail(r io.ReaderAt, size int64) (walTail, error) {
	s := &tailScan{in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<20), size: size}
	if err := s.read(walHeaderLen); err != nil {
		return walTail{}, err
	}
	for more := true; more; {
		var err error
		if more, err = s.frame(); err != nil {
			return walTail{}, err
		}
	}
	dirty, err := anyByte(io.NewSectionReader(r, s.tail.end, size-s.tail.end))
	s.tail.dirty = dirty
	return s.tail, err
}

// tailScan is a scan on its way.
type tailScan struct {
	in   *bufio.Reader
	size int64
	at   int64
	crc  uint32 // of the batch so far
	torn int64  // where a batch ends that does not verify; 0 is none

	entries, index uint64 // of the batch so far
	tail           walTail
}

// read takes the next n bytes into the batch; fewer, where the segment ends.
func (s *tailScan) read(n int64) error {
	h := crcWriter{&s.crc}
	got, err := io.CopyN(h, s.in, n)
	s.at += got
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read it at %d: %w", s.at, err)
	}
	return nil
}

// frame reads one frame; more is false where nothing follows that can be read.
func (s *tailScan) frame() (more bool, err error) {
	head, err := s.in.Peek(walFrameLen)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read it at %d: %w", s.at, err)
	}
	n := int64(binary.LittleEndian.Uint32(head[4:]))
	switch head[0] {
	case walseg.FrameCommit:
		return true, s.commit(uint32(n))
	case walseg.FrameEntry:
		s.entries++
	case walseg.FrameIndex:
		s.index = uint64(s.at) + walFrameLen
	default:
		return false, nil
	}
	n = (n + walFrameLen - 1) / walFrameLen * walFrameLen
	if n > walseg.MaxEntrySize || s.at+walFrameLen+n > s.size {
		return false, nil
	}
	return true, s.read(walFrameLen + n)
}

// commit ends a batch.
func (s *tailScan) commit(want uint32) error {
	whole := s.crc == want
	if err := s.read(walFrameLen); err != nil {
		return err
	}
	switch {
	case whole && s.torn != 0:
		return fmt.Errorf("the batch that ends at %d is damaged, and one after it is whole", s.torn)
	case whole:
		s.tail.entries += s.entries
		s.tail.end, s.tail.indexStart = s.at, s.index
	case s.torn == 0:
		s.torn = s.at
	}
	s.crc, s.entries, s.index = 0, 0, 0
	return nil
}

// crcWriter adds what is written to a checksum.
type crcWriter struct{ crc *uint32 }

// Write implements io.Writer.
func (w crcWriter) Write(p []byte) (int, error) {
	*w.crc = crc32.Update(*w.crc, castagnoli(), p)
	return len(p), nil
}

// anyByte reports whether r holds anything but zeros.
func anyByte(r io.Reader) (bool, error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read its end: %w", err)
		}
	}
}
