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

	ails []*ail // guarded by mu: what is wrong with it, oldest first
}

// ail is one thing that is wrong with a disk.
type ail struct {
	slow  time.Duration // what a sync takes on top
	fault error         // what a write fails with
	hangs bool          // no write returns before the ail is over
	over  chan struct{} // closed when it is
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
func (d *disk) mount(p *proc) *mounted {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	return &mounted{disk: d, proc: p, life: d.life}
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

// ail adds something that is wrong, until mend is called; several such things add up.
func (d *disk) ail(a ail) (mend func()) {
	a.over = make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ails = append(d.ails, &a)
	return func() { d.cure(func(o *ail) bool { return o == &a }) }
}

// heal mends everything.
func (d *disk) heal() { d.cure(func(*ail) bool { return true }) }

func (d *disk) cure(which func(*ail) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ails = slices.DeleteFunc(d.ails, func(a *ail) bool {
		if which(a) {
			close(a.over)
			return true
		}
		return false
	})
}

// ailing reports whether anything is wrong.
func (d *disk) ailing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ails) > 0
}

// slow is what a sync takes on top.
func (d *disk) slow() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	var slow time.Duration
	for _, a := range d.ails {
		slow = max(slow, a.slow)
	}
	return slow
}

// hanging is closed when what hangs the disk is over; nil is that it does not hang.
func (d *disk) hanging() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.ails {
		if a.hangs {
			return a.over
		}
	}
	return nil
}

func (d *disk) faultLocked() error {
	for _, a := range d.ails {
		if a.fault != nil {
			return a.fault
		}
	}
	return nil
}

// mounted is a disk as one process sees it. It implements raft.LogStore, raft.StableStore and
// raft.MonotonicLogStore.
type mounted struct {
	*disk
	proc   *proc // that writes
	life   int
	failed func(error) // told once of a write that failed
	stall  func(time.Duration)
	secret func(where string) // told of a token that was to be written
	once   sync.Once
	begun  []time.Time // guarded by mu: when each write to the log that is under way began
}

// IsMonotonic is what the real log says of itself.
func (m *mounted) IsMonotonic() bool { return true }

// sync takes as long as a write to disk, then lets commit change what is there.
func (m *mounted) sync(commit func()) error {
	m.hold(m.slow()+m.dice.between(80*time.Microsecond, 400*time.Microsecond), func(time.Duration) {})
	return m.commit(commit)
}

// write is sync for the log and the stable values, under the watch for stalls.
func (m *mounted) write(commit func()) error {
	now := m.proc.now()
	m.mu.Lock()
	m.begun = append(m.begun, now)
	m.mu.Unlock()
	m.hold(m.slow()+m.dice.between(80*time.Microsecond, 400*time.Microsecond), m.stall)
	m.mu.Lock()
	m.begun = slices.Delete(m.begun, slices.Index(m.begun, now), slices.Index(m.begun, now)+1)
	m.mu.Unlock()
	return m.commit(commit)
}

func (m *mounted) commit(commit func()) error {
	if !m.proc.awake() {
		return errCrash
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.disk.life != m.life {
		return errCrash
	}
	if err := m.faultLocked(); err != nil {
		m.once.Do(func() { m.failed(fmt.Errorf("write raft log: %w", err)) })
		return err
	}
	commit()
	return nil
}

// stallAfter is when a write counts as stalled; stallLook is how often somebody looks.
const (
	stallAfter = 2 * time.Second
	stallLook  = stallAfter / 4
)

// hold lets pass what a write takes, and the time that the disk hangs, and tells of a stall
// while it lasts. The dead wait for nothing.
func (m *mounted) hold(takes time.Duration, stall func(time.Duration)) {
	for waited := time.Duration(0); ; {
		hangs := m.hanging()
		if hangs == nil && waited >= takes {
			return
		}
		step := stallLook
		if hangs == nil {
			step = min(step, takes-waited)
		}
		t := time.NewTimer(step)
		select {
		case <-t.C:
		case <-hangs: // never, where nothing does
			t.Stop()
			continue
		case <-m.proc.dead:
			t.Stop()
			return
		}
		waited += step
		// Whoever would look stands still with the process.
		if waited >= stallAfter && step == stallLook && stall != nil && !m.proc.stands() {
			stall(waited)
		}
	}
}

// Pending is for how long the oldest write to the log has not returned.
func (m *mounted) Pending() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.begun) == 0 {
		return 0
	}
	return m.proc.now().Sub(slices.MinFunc(m.begun, time.Time.Compare))
}

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
		if leaks(e.Data) {
			m.secret("entry " + utoa(e.Index))
		}
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
	err := m.write(func() { m.log = append(m.log, b.entries...) })
	m.mu.Lock()
	if m.under == b {
		m.under = nil
	}
	m.mu.Unlock()
	return err
}

// DeleteRange deletes the beginning of the log or its end.
func (m *mounted) DeleteRange(low, high uint64) error {
	return m.write(func() {
		m.log = slices.DeleteFunc(slices.Clone(m.log), func(e *raft.Log) bool { return e.Index >= low && e.Index <= high })
	})
}

// Set stores a stable value.
func (m *mounted) Set(key, value []byte) error {
	v := slices.Clone(value)
	return m.write(func() { m.stable[string(key)] = v })
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
