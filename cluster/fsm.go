package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/grafos/grafos/fsm"
)

// machine puts compression round the state machine's snapshots and counts the bytes of the
// log since the last one. raft calls it from one goroutine, Persist from another.
type machine struct {
	*fsm.Machine
	bytes atomic.Int64
}

// Apply applies one committed entry.
func (m *machine) Apply(l *raft.Log) any {
	m.bytes.Add(int64(len(l.Data)))
	return m.Machine.Apply(l)
}

// Snapshot takes the state as it is; Persist writes it compressed.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	s, err := m.Machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	m.bytes.Store(0)
	return &compressed{s}, nil
}

// Restore replaces the state by what a snapshot holds.
func (m *machine) Restore(r io.ReadCloser) error {
	// One goroutine and a bounded window: a snapshot is restored beside everything else.
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return fmt.Errorf("open snapshot: %w", joinClose(err, r))
	}
	return m.Machine.Restore(&zreader{z, r})
}

type zreader struct {
	*zstd.Decoder
	under io.Closer
}

// Close ends the decoder and closes the snapshot below it.
func (z *zreader) Close() error {
	z.Decoder.Close()
	return z.under.Close()
}

type compressed struct{ raft.FSMSnapshot }

// Persist writes the snapshot through a compressor.
func (c *compressed) Persist(sink raft.SnapshotSink) error {
	z, err := zstd.NewWriter(sink, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("open snapshot compressor: %w", errors.Join(err, sink.Cancel()))
	}
	return c.FSMSnapshot.Persist(&zsink{sink, z})
}

type zsink struct {
	raft.SnapshotSink
	z *zstd.Encoder
}

// Write compresses p into the sink.
func (s *zsink) Write(p []byte) (int, error) { return s.z.Write(p) }

// Close flushes the compressor before the sink makes the snapshot durable.
func (s *zsink) Close() error {
	if err := s.z.Close(); err != nil {
		return errors.Join(err, s.SnapshotSink.Cancel())
	}
	return s.SnapshotSink.Close()
}
