package fsm

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// State is the state while an entry is applied to it: the tables, and what the entry has
// done so far. Only the goroutine that applies touches it. Its reads are those of View, and
// only the put and drop methods of put.go write tables.
type State struct {
	View // the live tables

	codec  codec
	newest Level // that this node knows
	edit   cow.Edit
	sum    hash.Hash // the fingerprint of this entry
	trail  []byte    // what was changed and is not in sum yet
	rec    []byte    // scratch, for one record
	value  bytes.Buffer
	ticks  leaseTicks

	seen    seenLease
	passing bool       // a lease is on its way to its end in one command
	passed  standing   // what the tables have of it meanwhile
	writes  int        // changes of this entry
	grown   int        // leases that it granted
	sub     uint32     // place of the command in the entry
	events  eventBatch // in memory that is used again
	audits  []api.AuditRecord
	touched touched
	change  *Change // what changed, when somebody wants to know
	fault   error   // a bug or a codec that fails: the node must stop

	keyLimit int // how many idempotency keys are kept
}

// table numbers the tables, in the order of a snapshot.
type table uint8

const (
	tableProviders table = iota + 1
	tableCells
	tableTenants
	tableLeases
	tableRuns
	tableBlobs
	tableKeys
	tableTokens
)

func newState(cd codec) *State {
	return &State{View: newView(), codec: cd, newest: NewestLevel, edit: 1, sum: sha256.New(), keyLimit: MaxKeys}
}

// maxWall keeps every display time within four-digit years.
const maxWall = int64(250_000_000_000_000)

// begin opens an entry: it moves cluster time, forward only and by a bounded step.
func (s *State) begin(index uint64, e Entry) {
	prev := s.meta.Now
	s.meta.Index = index
	s.meta.Now = max(prev, min(e.Tick, prev+MaxStep))
	s.meta.Wall = min(max(e.Wall, 0), maxWall)
	s.writes, s.audits = 0, again(s.audits)
	s.events.begin(index, s.meta.Wall)
	s.grown = 0
	s.touched.reset()
	s.seen.valid = false
	s.sum.Reset()
	s.trail = append(s.trail[:0], s.meta.Fingerprint[:]...)
}

// maxAgain bounds what is kept of a slice to be used again: one large entry is no reason to
// hold its memory for ever.
const maxAgain = 4096

// again empties a slice for the next entry.
func again[T any](s []T) []T {
	if cap(s) > maxAgain {
		return nil
	}
	return s[:0]
}

// finish closes an entry: the fingerprint now covers every change of it.
func (s *State) finish() {
	if s.grown > 0 {
		s.prune(max(pruneStep, 2*s.grown))
	}
	s.trail = appendMeta(s.trail, &s.meta)
	s.sum.Write(s.trail)
	s.sum.Sum(s.meta.Fingerprint[:0])
	s.touched.fixed |= 1 << topicIndex
	if s.events.n > 0 {
		s.touched.fixed |= 1 << topicEvents
	}
}

// publish returns the state as a view that stays as it is.
func (s *State) publish() *View {
	v := s.View
	s.edit++ // from here on nodes of the view are copied before they are changed
	return &v
}

// fail remembers the first fault that no refusal can express.
func (s *State) fail(err error) {
	if s.fault == nil {
		s.fault = err
	}
}

// after returns the leader's wall clock d from now, for display.
func (s *State) after(d time.Duration) time.Time { return s.Wall().Add(d) }

// maxTrail bounds what waits to be hashed.
const maxTrail = 64 << 10

// note enters the compact form of a record into the fingerprint.
func (s *State) note(t table, rec []byte) {
	s.mark(byte(t), len(rec))
	s.trail = append(s.trail, rec...)
}

// noteValue is note for a record that has no compact form.
func (s *State) noteValue(t table, value any) {
	s.value.Reset()
	if err := s.codec.enc.MarshalToBuffer(value, &s.value); err != nil {
		s.fail(err)
	}
	s.note(t, s.value.Bytes())
}

// noteDrop enters the deletion of a record into the fingerprint.
func (s *State) noteDrop(t table, key string) {
	s.mark(byte(t)|dropped, len(key))
	s.trail = append(s.trail, key...)
}

// dropped marks a table change that is a deletion.
const dropped = 0x80

func (s *State) mark(what byte, n int) {
	s.writes++
	if len(s.trail) > maxTrail {
		s.sum.Write(s.trail)
		s.trail = s.trail[:0]
	}
	s.trail = appendUint(append(s.trail, what), uint64(n))
}
