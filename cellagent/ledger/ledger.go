package ledger

import (
	"errors"
	"fmt"
	"sync"

	"github.com/grafos/grafos/api"
)

// compactAt is how long the file may become before it is written anew, and so is four times what
// it had when that was done last.
const compactAt = 1 << 20

// Disk keeps the lines. Its methods are called by one goroutine at a time, but for Prepare, of
// which there is one at a time beside the others, and Sync, which comes at any time before Close.
type Disk interface {
	// Load returns all that is kept, or an empty slice where nothing ever was. What is appended goes
	// behind it, and behind its last whole line.
	Load() ([]byte, error)
	// Append keeps p, whole or not at all, so that it survives this process.
	Append(p []byte) error
	// Sync makes what was kept survive the host.
	Sync() error
	// Prepare writes, and syncs, what is to take the place of all that is kept.
	Prepare(all []byte) error
	// Swap puts what was prepared, and tail behind it, in place of all that is kept.
	Swap(tail []byte) error
	Close() error
}

// Ledger is the memory of one cell. It is safe for concurrent use, and nobody waits for a disk
// but who asks for it: Fence, Sync, and Compact.
type Ledger struct {
	disk Disk

	mu      sync.Mutex
	book    *book
	idle    []byte // the ends of leases that nothing hurries to write
	size    int    // of the file
	limit   int
	tail    []byte // what was appended since a compaction began
	fence   bool   // a fence was written since a compaction began
	moving  bool   // a compaction is under way
	failing error  // why the last write failed
	owed    error  // why a fence may not be on the disk
	debts   int    // how often one could not be brought there
}

// Found says what Open found.
type Found struct {
	// Fresh is that there was nothing.
	Fresh bool
	// Damaged counts the lines that could not be read.
	Damaged int
	// Rebooted is that it was written in another boot, whose end may have taken its last lines.
	Rebooted bool
	// Unwritten is why it could not be written anew; what there was is gone on with.
	Unwritten error
}

// Open reads what is kept, and writes it anew without what does not count any more. Where that cannot
// be done, on a full disk say, it goes on with what is kept, and fails until something can be written.
// bootID names this boot. d belongs to the ledger, also when it fails.
func Open(d Disk, bootID string) (*Ledger, Found, error) {
	content, err := d.Load()
	if err != nil {
		return nil, Found{}, fmt.Errorf("read ledger: %w (%w)", err, d.Close())
	}
	b := newBook()
	found := Found{Fresh: len(content) == 0, Damaged: read(b, content)}
	found.Rebooted = !found.Fresh && b.boot != bootID
	if found.Fresh || found.Damaged > 0 || found.Rebooted {
		b.doubt = true
	}
	b.boot = bootID
	b.raise(b.floor)
	l := &Ledger{disk: d, book: b}
	if err := l.replace(); err != nil {
		err = fmt.Errorf("write ledger: %w", err)
		if found.Fresh {
			return nil, found, fmt.Errorf("%w (%w)", err, d.Close())
		}
		found.Unwritten = err
		l.oweLocked(err)                                  // nobody knows whether the fences in it were synced, and nobody else is here
		l.failing, l.size, l.limit = err, len(content), 0 // the next set has it compacted
	}
	return l, found, nil
}

// replace writes all of it anew, at the start.
func (l *Ledger) replace() error {
	all := l.book.lines()
	if err := l.disk.Prepare(all); err != nil {
		return err
	}
	if err := l.disk.Swap(nil); err != nil {
		return err
	}
	l.size, l.limit = len(all), max(compactAt, 4*len(all))
	return l.disk.Sync()
}

// Floor returns the floor.
func (l *Ledger) Floor() Floor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.floor
}

// Doubt reports that what was accepted before is not known: it was lost, or there was none.
func (l *Ledger) Doubt() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.doubt
}

// Find returns what is known of a lease.
func (l *Ledger) Find(id api.LeaseID) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.book.entries[id]
	return e, ok
}

// In lists what is in a phase, by lease.
func (l *Ledger) In(p Phase) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.in(p)
}

// Settle raises the floor to what a registration has committed, and ends the doubt.
func (l *Ledger) Settle(f Floor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	raised := l.book.floor.Raise(f)
	if err := l.appendLocked(appendDoubt(appendFloor(nil, raised), false)); err != nil {
		return err
	}
	l.book.raise(raised)
	l.book.doubt = false
	return nil
}

// Accept raises the floor and takes what was granted and renewed, in one write. Nothing of it may
// be acted upon when it fails.
func (l *Ledger) Accept(f Floor, list []Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	raised := l.book.floor.Raise(f)
	if raised == l.book.floor && len(list) == 0 {
		return nil
	}
	const one = 160 // bytes of most entries
	lines := make([]byte, 0, len(l.idle)+one*(len(list)+1))
	lines = append(lines, l.idle...)
	if raised != l.book.floor {
		lines = appendFloor(lines, raised)
	}
	for i := range list {
		lines = appendEntry(lines, &list[i])
	}
	if err := l.appendLocked(lines); err != nil {
		return err
	}
	l.idle = l.idle[:0]
	for i := range list {
		l.book.note(list[i])
	}
	if raised != l.book.floor {
		l.book.raise(raised)
	}
	return nil
}

// idleMost is how much of what has no hurry is kept in memory.
const idleMost = 64 << 10

// End notes that a lease has ended here. It is written with what comes next: an agent that is
// killed before that finds nothing of the lease to bind again, and its deadline stands.
func (l *Ledger) End(id api.LeaseID, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.book.entries[id]
	if !ok || known.Epoch != epoch || known.Phase != Accepted {
		return
	}
	e := Entry{Lease: id, Epoch: known.Epoch, Generation: known.Generation, Phase: Ended}
	l.book.note(e)
	l.idle = appendEntry(l.idle, &e)
	if len(l.idle) > idleMost {
		l.flushLocked()
	}
}

// flushLocked writes what has no hurry; where that fails it stays, up to a bound.
func (l *Ledger) flushLocked() {
	if l.appendLocked(l.idle) == nil || len(l.idle) > 16*idleMost {
		l.idle = l.idle[:0]
	}
}

// Fence keeps that the teardown of a lease failed: it is on the disk when Fence returns.
func (l *Ledger) Fence(e Entry) error {
	e.Phase = Fenced
	if err := l.noteFence(e); err != nil {
		return err
	}
	return l.secure()
}

func (l *Ledger) noteFence(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book.note(e) // also when it cannot be written: it is fenced as long as the agent lives
	l.fence = true
	err := l.appendLocked(appendEntry(nil, &e))
	if err != nil {
		l.oweLocked(err)
	}
	return err
}

// secure brings fences to the disk; one that does not get there is tried again by Failing.
func (l *Ledger) secure() error {
	err := l.disk.Sync()
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = fmt.Errorf("write ledger: %w", err)
	l.oweLocked(err)
	return err
}

func (l *Ledger) oweLocked(err error) {
	l.owed = err
	l.debts++
}

// Know keeps that the schedulers know of a fence, in this cluster epoch: one that they do not show
// any more was lifted.
func (l *Ledger) Know(id api.LeaseID, cluster uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.book.entries[id]
	if !ok || e.Phase != Fenced || e.Known > cluster {
		return nil
	}
	e.Known = cluster + 1
	l.fence = true
	if err := l.appendLocked(appendEntry(nil, &e)); err != nil {
		return err
	}
	l.book.note(e)
	return nil
}

// Lift forgets a fence, because the schedulers say that it was lifted.
func (l *Ledger) Lift(id api.LeaseID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.book.entries[id]
	if !ok || e.Phase != Fenced {
		return nil
	}
	if err := l.appendLocked(appendLifted(nil, id, e.Epoch)); err != nil {
		return err
	}
	l.book.lift(id, e.Epoch)
	return nil
}

// Sync makes all that was accepted survive the host.
func (l *Ledger) Sync() error { return l.disk.Sync() }

// Failing returns why the last write failed, or why a fence is not on the disk; nil is neither. Whoever
// asks has it tried again first: a cell that says so is given nothing that would, and the disk may be
// free again. Like Fence it may wait for the disk.
func (l *Ledger) Failing() error {
	debts, err := l.writeAgain()
	if debts == 0 || err != nil {
		return err
	}
	if err := l.secure(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.debts == debts { // else another fence failed beside
		l.owed, l.debts = nil, 0
	}
	return errors.Join(l.failing, l.owed)
}

// writeAgain writes the floor, of which boot it is and the fences again, where a write has failed: one of them that could not
// be written counts as long as the agent lives only. debts is for how many times it has to be synced.
func (l *Ledger) writeAgain() (debts int, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing == nil && l.owed == nil {
		return 0, nil
	}
	lines := appendBoot(appendDoubt(appendFloor(nil, l.book.floor), l.book.doubt), l.book.boot)
	fenced := l.book.in(Fenced)
	for i := range fenced {
		lines = appendEntry(lines, &fenced[i])
	}
	l.fence = l.fence || len(fenced) > 0
	return l.debts, l.appendLocked(lines)
}

func (l *Ledger) appendLocked(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := l.disk.Append(lines); err != nil {
		l.failing = fmt.Errorf("write ledger: %w", err)
		return l.failing
	}
	l.failing = nil
	l.size += len(lines)
	if l.moving {
		l.tail = append(l.tail, lines...)
	}
	return nil
}

// Long reports that the file is to be compacted.
func (l *Ledger) Long() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size > l.limit && !l.moving
}

// Compact writes what still counts anew. Everything else goes on beside it; a second call while
// one is under way does nothing.
func (l *Ledger) Compact() error {
	l.mu.Lock()
	if l.moving {
		l.mu.Unlock()
		return nil
	}
	l.moving, l.tail, l.fence = true, nil, false
	all := l.book.lines()
	l.mu.Unlock()

	err := l.disk.Prepare(all)

	fenced, err := l.swap(len(all), err)
	if err != nil {
		return fmt.Errorf("compact ledger: %w", err)
	}
	if fenced {
		return l.secure()
	}
	return nil
}

// swap ends a compaction; fenced is that a fence was written beside it.
func (l *Ledger) swap(written int, err error) (fenced bool, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moving = false
	if err == nil {
		err = l.disk.Swap(l.tail)
	}
	if err != nil {
		l.limit = l.size + compactAt // what there is goes on, and is tried again later
		return false, err
	}
	l.size = written + len(l.tail)
	l.limit = max(compactAt, 4*written)
	l.tail = nil
	return l.fence, nil
}

// Close writes what had no hurry and lets go of the disk.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked()
	return l.disk.Close()
}
