package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// machine puts compression round the state machine's snapshots, counts the bytes of the log
// since the last one, and knows how far it has come. raft calls it from one goroutine,
// Persist from another.
type machine struct {
	*fsm.Machine
	bytes atomic.Int64
	// held is how many bytes the last snapshot had that was written or restored here, before it was
	// compressed.
	held atomic.Int64
	done progress
	// prints are compared with the other nodes'.
	prints prints
	// configured is the index of the newest change of the members since the start; 0 is none.
	configured atomic.Uint64
	// forked is told of a restored state whose cluster epoch is not 0, with the audit records
	// that came with it; nil is nobody.
	forked func(epoch uint64, tail []api.AuditRecord) error
	// fail is told of a snapshot that only a later release can read; nil is nobody.
	fail func(error)
	// tell is told of every entry that was applied; nil is nobody.
	tell func(index, term uint64)
	// refused is why the last snapshot was not taken.
	refused atomic.Pointer[error]
}

// Apply applies one committed entry. One that stopped the machine is not done.
func (m *machine) Apply(l *raft.Log) any {
	m.bytes.Add(int64(len(l.Data)))
	out := m.Machine.Apply(l)
	if _, failed := out.(error); failed {
		m.done.halt()
		return out
	}
	m.prints.note(l.Index, m.View())
	m.done.reach(l.Index)
	if m.tell != nil {
		m.tell(l.Index, l.Term)
	}
	return out
}

// StoreConfiguration is told of raft's own entries that change the members: there is nothing
// to apply, but a read may wait for their index.
func (m *machine) StoreConfiguration(index uint64, _ raft.Configuration) {
	m.configured.Store(index)
	m.done.reach(index)
}

// WaitIndex returns when every entry up to index is applied here, raft's own too.
func (m *machine) WaitIndex(ctx context.Context, index uint64) error { return m.done.wait(ctx, index) }

// Snapshot takes the state as it is; Persist writes it compressed.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	s, err := m.Machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	return &compressed{s, m, m.bytes.Swap(0)}, nil
}

// Restore replaces the state by what a snapshot holds. One that only a later release can read
// stops the node: raft would try it again for ever.
func (m *machine) Restore(r io.ReadCloser) error {
	err := m.restore(r)
	if err == nil {
		return nil
	}
	m.refused.Store(&err)
	if bad, is := errors.AsType[*fsm.SnapshotError](err); is && m.fail != nil && (bad.Fault == fsm.FaultLevel || bad.Fault == fsm.FaultVersion) {
		m.fail(err)
	}
	return err
}

func (m *machine) restore(r io.ReadCloser) error {
	in := bufio.NewReaderSize(r, restoreBuffer)
	tail, err := readTail(in)
	if err != nil {
		return joinClose(err, r)
	}
	// One goroutine and a bounded window: a snapshot is restored beside everything else.
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return fmt.Errorf("open snapshot: %w", joinClose(err, r))
	}
	from := &zreader{Decoder: z, under: r}
	if err := m.Machine.Restore(from); err != nil {
		return err
	}
	m.bytes.Store(0)
	m.held.Store(from.n)
	m.prints.reset()
	m.done.reach(m.View().Index())
	if epoch := m.View().ClusterEpoch(); epoch > 0 && m.forked != nil {
		return m.forked(epoch, tail)
	}
	return nil
}

type zreader struct {
	*zstd.Decoder
	under io.Closer
	n     int64 // bytes read
}

// Read counts what it reads.
func (z *zreader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	z.n += int64(n)
	return n, err //nolint:wrapcheck // a reader's own
}

// Close ends the decoder and closes the snapshot below it.
func (z *zreader) Close() error {
	z.Decoder.Close()
	return z.under.Close()
}

// compressed is a snapshot on its way to a sink, and how much of the log it makes superfluous.
type compressed struct {
	raft.FSMSnapshot
	machine *machine
	bytes   int64
}

// Persist writes the snapshot through a compressor. When it fails the log is as long as
// before.
func (c *compressed) Persist(sink raft.SnapshotSink) error {
	if err := c.persist(sink); err != nil {
		c.machine.bytes.Add(c.bytes)
		return err
	}
	return nil
}

func (c *compressed) persist(sink raft.SnapshotSink) error {
	z, err := zstd.NewWriter(sink, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("open snapshot compressor: %w", errors.Join(err, sink.Cancel()))
	}
	to := &zsink{SnapshotSink: sink, z: z}
	if err := c.FSMSnapshot.Persist(to); err != nil {
		return err //nolint:wrapcheck // the snapshot's own
	}
	c.machine.held.Store(to.n)
	return nil
}

type zsink struct {
	raft.SnapshotSink
	z *zstd.Encoder
	n int64 // bytes written
}

// Write compresses p into the sink.
func (s *zsink) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.z.Write(p)
}

// Close flushes the compressor before the sink makes the snapshot durable.
func (s *zsink) Close() error {
	if err := s.z.Close(); err != nil {
		return errors.Join(err, s.Cancel())
	}
	return s.SnapshotSink.Close()
}
