package fsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// Apply implements raft.FSM: it returns a []Result, one for each command, or an error once
// the machine has stopped. An entry that cannot be decoded stops it: to skip what others
// apply is to diverge in silence.
func (m *Machine) Apply(l *raft.Log) any {
	if err := m.stopped(); err != nil {
		return err
	}
	e, err := m.codec.decodeEntry(l.Data, m.memory)
	if err != nil {
		if unknown, ok := errors.AsType[*UnknownEntryError](err); ok {
			unknown.Index = l.Index
		}
		m.stop(fmt.Errorf("read entry %d of term %d: %w", l.Index, l.Term, err))
		return m.stopped()
	}
	results := m.apply(l.Index, e)
	if err := m.stopped(); err != nil {
		return err
	}
	return results
}

// Snapshot implements raft.FSM. It only takes the view: Persist writes it while entries go on.
func (m *Machine) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.stopped(); err != nil {
		return nil, err
	}
	return snapshot{view: m.View(), before: m.opts.BeforePersist}, nil
}

// Restore implements raft.FSM. The new state is built aside and takes the old one's place
// when all of the snapshot was read and trusted; an error leaves everything as it was.
func (m *Machine) Restore(rc io.ReadCloser) (err error) {
	defer func() {
		if cerr := rc.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close snapshot: %w", cerr)
		}
	}()
	s, err := readState(m.codec, rc)
	if err != nil {
		return err
	}
	m.adopt(s)
	m.ring.reset(s.meta.Index)
	m.mu.Lock()
	m.fingerprints = []fingerprint{{s.meta.Index, s.meta.Fingerprint}}
	m.mu.Unlock()
	m.topics.rebase(s.meta.Index)
	m.topics.fireAll()
	return nil
}

// snapshot is a view on its way to a sink.
type snapshot struct {
	view   *View
	before func() error
}

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		if cerr := sink.Cancel(); cerr != nil {
			return fmt.Errorf("%w; cancel snapshot: %w", err, cerr)
		}
		return err
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

func (s snapshot) write(sink raft.SnapshotSink) error {
	if err := s.before(); err != nil {
		return fmt.Errorf("flush audit records before snapshot: %w", err)
	}
	return s.view.WriteSnapshot(sink)
}

// Release implements raft.FSMSnapshot; a view needs none.
func (snapshot) Release() {}
