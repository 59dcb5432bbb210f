package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// keyTerm is the stable value that holds Raft's term. Raft stores the term before the first
// entry of it.
const keyTerm = "CurrentTerm"

// Beside the log at path lie its lock, the second copy of the stable values, and the mark.
const (
	lockSuffix  = ".lock"
	votesSuffix = ".votes"
	markSuffix  = ".mark"
)

// OpenLog opens the log at path, or makes it: a file of bolt's, or the directory of a WAL. All
// of it is verified first: what is not as it was written is a *CorruptError.
func OpenLog(path string, o LogOptions) (*Log, error) {
	o = o.withDefaults()
	if err := CheckKind(o.Kind); err != nil {
		return nil, err
	}
	lock, err := takeLock(path + lockSuffix)
	if err != nil {
		return nil, err
	}
	l := &Log{path: path, o: o, lock: lock, watch: newWatchdog(o.StallAfter, o.Now, o.OnStall)}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.wg.Go(func() { l.watch.run(ctx) })
	return l, nil
}

// open reads and verifies what is there, makes what is not there yet, and mends what a crash
// between two writes explains.
func (l *Log) open() error {
	second, copied, err := readVotes(l.path + votesSuffix)
	if err != nil {
		return err
	}
	mk, marked, err := readMark(l.path + markSuffix)
	if err != nil {
		return err
	}
	exists, err := engineExists(l.path, l.o.Kind)
	if err != nil {
		return err
	}
	if !exists && (copied || marked) { // they are made after it
		return &CorruptError{File: l.path, Why: "it is gone, and what lies beside it is not"}
	}
	if l.engine, err = openEngine(l.path, l.o, mk.last); err != nil {
		return err
	}
	if l.values, err = parseValues(l.path, l.engine.stored); err != nil {
		return err
	}
	chained, err := l.verifyEntries()
	if err != nil {
		return err
	}
	if err := mk.check(l.path, &l.sums); err != nil {
		return err
	}
	if used := chained || l.values.generation > firstGeneration; used && (!copied || !marked) {
		return l.lacks(copied)
	}
	return l.settle(second, copied, marked, mk)
}

// lacks says which of the two files beside the log is gone: they are made before anything is
// written to it.
func (l *Log) lacks(copied bool) error {
	gone := l.path + votesSuffix
	if copied {
		gone = l.path + markSuffix
	}
	return &CorruptError{File: gone, Why: "it is gone"}
}

// verifyEntries reads every entry once, in order, and notes its checksum. chained says that
// some are linked to the ones before them.
func (l *Log) verifyEntries() (chained bool, err error) {
	first, err := l.engine.FirstIndex()
	if err != nil {
		return false, fmt.Errorf("read raft log %s: %w", l.path, err)
	}
	last, err := l.engine.LastIndex()
	if err != nil {
		return false, fmt.Errorf("read raft log %s: %w", l.path, err)
	}
	var newest raft.Log
	for i := first; i <= last && i != 0; i++ {
		entry, at, err := l.readEntry(i)
		if errors.Is(err, raft.ErrLogNotFound) {
			return false, &CorruptError{File: l.path, Index: i, Why: "it is gone"}
		}
		if err != nil {
			return false, err
		}
		if err := l.follows(i, at, chained); err != nil {
			return false, err
		}
		chained = chained || at.chained
		l.sums.push(i, at.sum)
		newest = entry
	}
	return chained, l.verifyTerm(newest.Term)
}

// follows reports whether an entry continues the chain. The oldest entry links to one that
// was compacted away, or to none; what it should link to nobody knows any more, and its own
// checksum covers what it does.
func (l *Log) follows(index uint64, at link, chained bool) error {
	before, held := l.sums.at(index - 1)
	switch {
	case !held:
		return nil
	case at.chained && at.prev != before:
		return &CorruptError{File: l.path, Index: index, Why: fmt.Sprintf(
			"it follows an entry with checksum %08x, the one before it has %08x", at.prev, before)}
	case !at.chained && chained:
		return &CorruptError{File: l.path, Index: index, Why: "it follows nothing, and the one before it does"}
	}
	return nil
}

// verifyTerm demands a current term that is not behind the newest entry's.
func (l *Log) verifyTerm(newest uint64) error {
	var term uint64
	if b := l.values.held[keyTerm].bytes; len(b) == 8 {
		term = binary.BigEndian.Uint64(b)
	}
	if term < newest {
		return &CorruptError{File: l.path, Key: keyTerm, Why: fmt.Sprintf("it is %d, the newest entry is of term %d", term, newest)}
	}
	return nil
}

// settle makes the files beside a log that has none, and brings behind ones up to it.
func (l *Log) settle(second copied, copied, marked bool, mk mark) error {
	path := l.path + votesSuffix
	if !copied {
		if err := createVotes(path, l.values); err != nil {
			return err
		}
		second.values = l.values
	}
	behind, err := reconcile(l.path, path, l.values, second)
	if err != nil {
		return err
	}
	if l.votes, err = openVotes(path); err != nil {
		return err
	}
	if behind {
		l.o.Log.Info("the second copy of term and vote was one write behind", "path", path)
		if err := l.votes.write(l.values); err != nil {
			return err
		}
	}
	last := l.sums.last()
	mk.last, mk.sum = last, 0
	if last != 0 {
		mk.sum, _ = l.sums.at(last)
	}
	if err := l.openMark(mk, marked); err != nil {
		return err
	}
	return l.adopt()
}

func (l *Log) openMark(mk mark, marked bool) (err error) {
	path := l.path + markSuffix
	if !marked {
		if err := createMark(path, mk); err != nil {
			return err
		}
	}
	if l.mark, err = openMark(path, mk); err != nil {
		return err
	}
	return l.mark.entry(mk.last, mk.sum, false)
}

// adopt writes the values of the release before once more, so that they have generations.
func (l *Log) adopt() error {
	for _, key := range l.values.keys() {
		v := l.values.held[key]
		if v.generation > firstGeneration {
			continue
		}
		if err := l.set([]byte(key), v.bytes); err != nil {
			return err
		}
	}
	return nil
}

// lost says that the log ends before an entry that was acknowledged.
func lost(file string, acknowledged, last uint64) error {
	return &CorruptError{File: file, Index: acknowledged, Why: fmt.Sprintf("it was acknowledged and is gone: the log ends with entry %d", last)}
}
