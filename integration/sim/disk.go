package sim

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// disk is what a scheduler's machine keeps when its process dies. What was not synced by then
// is lost, whole or in part.
type disk struct {
	dice *dice

	mu     sync.Mutex
	log    []*raft.Log       // guarded by mu: first.. without a hole
	stable map[string][]byte // guarded by mu
	snaps  []*snapshot       // guarded by mu, oldest first
	audit  chain             // guarded by mu
	life   int               // guarded by mu: of the process that may write
	under  *batch            // guarded by mu: the append under way

	slow  time.Duration // guarded by mu: what a sync takes on top
	fault error         // guarded by mu: what a write fails with
}

// batch is an append that is not synced yet.
type batch struct{ entries []*raft.Log }

// The faults of a disk.
var (
	errIO    = errors.New("input/output error")
	errFull  = errors.New("no space left on device")
	errCrash = errors.New("the process has died")
	// errUnknownKey is what raft knows a value by that was never set.
	errUnknownKey = errors.New("not found")
)

func newDisk(d *dice) *disk { return &disk{dice: d, stable: map[string][]byte{}} }

// mount lets the next process write, and nobody else.
func (d *disk) mount() *mounted {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	return &mounted{disk: d, life: d.life}
}

// crash is the end of the process: of the append under way nothing, a part or all is on disk.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	if d.under != nil {
		n := d.dice.below(len(d.under.entries) + 1)
		d.log = append(d.log, d.under.entries[:n]...)
		d.under = nil
	}
	d.audit.crash(d.dice)
}

// ail sets what writes meet from now on.
func (d *disk) ail(slow time.Duration, fault error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow, d.fault = slow, fault
}

// mounted is a disk as one process sees it. It implements raft.LogStore, raft.StableStore and
// raft.MonotonicLogStore.
type mounted struct {
	*disk
	life   int
	failed func(error) // told once of a write that failed
	stall  func(time.Duration)
	awake  func() bool // waits while the process stands still
	once   sync.Once
}

// IsMonotonic is what the real log says of itself.
func (m *mounted) IsMonotonic() bool { return true }

// sync takes as long as a write to disk, then lets commit change what is there.
func (m *mounted) sync(commit func()) error {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	took := slow + m.dice.between(80*time.Microsecond, 400*time.Microsecond)
	if took >= stallAfter && m.stall != nil {
		time.Sleep(stallAfter)
		m.stall(stallAfter)
		took -= stallAfter
	}
	time.Sleep(took)
	m.awake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.disk.life != m.life {
		return errCrash
	}
	if m.fault != nil {
		err := m.fault
		m.once.Do(func() { m.failed(fmt.Errorf("write raft log: %w", err)) })
		return err
	}
	commit()
	return nil
}

// stallAfter is when a write counts as stalled.
const stallAfter = 2 * time.Second

// FirstIndex returns the index of the oldest entry; 0 is none.
func (m *mounted) FirstIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.log) == 0 {
		return 0, nil
	}
	return m.log[0].Index, nil
}

// LastIndex returns the index of the newest entry; 0 is none.
func (m *mounted) LastIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.log) == 0 {
		return 0, nil
	}
	return m.log[len(m.log)-1].Index, nil
}

// GetLog reads one entry.
func (m *mounted) GetLog(index uint64, out *raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.log) == 0 || index < m.log[0].Index || index > m.log[len(m.log)-1].Index {
		return raft.ErrLogNotFound
	}
	*out = *m.log[index-m.log[0].Index]
	return nil
}

// StoreLog appends one entry.
func (m *mounted) StoreLog(e *raft.Log) error { return m.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries and returns when they are synced.
func (m *mounted) StoreLogs(entries []*raft.Log) error {
	b := &batch{entries: make([]*raft.Log, len(entries))}
	for i, e := range entries {
		b.entries[i] = copyOf(e)
	}
	m.mu.Lock()
	if m.disk.life != m.life {
		m.mu.Unlock()
		return errCrash
	}
	if n := len(m.log); n > 0 && b.entries[0].Index != m.log[n-1].Index+1 {
		m.mu.Unlock()
		return fmt.Errorf("append entry %d behind entry %d", b.entries[0].Index, m.log[n-1].Index)
	}
	m.under = b
	m.mu.Unlock()
	err := m.sync(func() { m.log = append(m.log, b.entries...) })
	m.mu.Lock()
	if m.under == b {
		m.under = nil
	}
	m.mu.Unlock()
	return err
}

// DeleteRange deletes the beginning of the log or its end.
func (m *mounted) DeleteRange(low, high uint64) error {
	return m.sync(func() {
		m.log = slices.DeleteFunc(slices.Clone(m.log), func(e *raft.Log) bool { return e.Index >= low && e.Index <= high })
	})
}

// Set stores a stable value.
func (m *mounted) Set(key, value []byte) error {
	v := slices.Clone(value)
	return m.sync(func() { m.stable[string(key)] = v })
}

// Get reads a stable value.
func (m *mounted) Get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.stable[string(key)]
	if !ok {
		return nil, errUnknownKey
	}
	return slices.Clone(v), nil
}

// SetUint64 stores a number.
func (m *mounted) SetUint64(key []byte, value uint64) error { return m.Set(key, []byte(utoa(value))) }

// GetUint64 reads what SetUint64 stored.
func (m *mounted) GetUint64(key []byte) (uint64, error) {
	v, err := m.Get(key)
	if err != nil {
		return 0, err
	}
	return atou(string(v))
}
