package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"

	"github.com/grafos/grafos/api"
)

// State is the state while an entry is applied to it: the tables, and what the entry has
// done so far. Only the goroutine that applies touches it. Its reads are those of View, and
// only the put and drop methods below write tables.
type State struct {
	View // the live tables

	codec codec
	hash  hash.Hash    // over the changes of this entry
	buf   bytes.Buffer // scratch of note

	published View  // the copies that were handed out last
	dirty     uint8 // which tables differ from published
	writes    int   // changes of this entry
	events    []api.Event
	audits    []api.AuditRecord
	touched   map[Topic]struct{}
	fault     error // a bug or a codec that fails: the node must stop
	keyLimit  int   // how many idempotency keys are kept
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
	return &State{View: newView(), codec: cd, hash: sha256.New(), touched: map[Topic]struct{}{}, dirty: 0xff, keyLimit: MaxKeys}
}

// maxWall keeps every display time within four-digit years.
const maxWall = int64(250_000_000_000_000)

// begin opens an entry: it moves cluster time, forward only and by a bounded step.
func (s *State) begin(index uint64, e Entry) {
	prev := s.meta.Now
	s.meta.Index = index
	s.meta.Now = max(prev, min(e.Tick, prev+MaxStep))
	s.meta.Wall = min(max(e.Wall, 0), maxWall)
	s.writes, s.events, s.audits = 0, nil, nil
	clear(s.touched)
	s.hash.Reset()
	s.hash.Write([]byte(s.meta.Fingerprint))
}

// finish closes an entry: the fingerprint now covers every change of it.
func (s *State) finish() {
	s.hashValue(&s.meta)
	s.meta.Fingerprint = hex.EncodeToString(s.hash.Sum(nil))
	s.touched[TopicIndex] = struct{}{}
	if len(s.events) > 0 {
		s.touched[TopicEvents] = struct{}{}
	}
}

// publish returns the state as a view that stays as it is. Tables that did not change since
// the last one are shared with it.
func (s *State) publish() *View {
	v := s.published
	v.meta = s.meta
	has := func(t table) bool { return s.dirty&(1<<(t-1)) != 0 }
	if has(tableProviders) {
		v.providers = s.providers.Copy()
	}
	if has(tableCells) {
		v.cells = s.cells.Copy()
	}
	if has(tableTenants) {
		v.tenants = s.tenants.Copy()
	}
	if has(tableLeases) {
		v.leases = s.leases.copy()
	}
	if has(tableRuns) {
		v.runs = s.runs.copy()
	}
	if has(tableBlobs) {
		v.blobs = s.blobs.copy()
	}
	if has(tableKeys) {
		v.keys = s.keys.copy()
	}
	if has(tableTokens) {
		v.tokens = s.tokens.copy()
	}
	s.published, s.dirty = v, 0
	return &v
}

// note enters one table change into the fingerprint. value is a pointer to the record, nil
// for a deletion.
func (s *State) note(t table, key string, value any) {
	s.writes++
	s.dirty |= 1 << (t - 1)
	s.buf.Reset()
	s.buf.WriteByte(byte(t))
	var n [binary.MaxVarintLen64]byte
	s.buf.Write(binary.AppendUvarint(n[:0], uint64(len(key))))
	s.buf.WriteString(key)
	s.hash.Write(s.buf.Bytes())
	if value == nil {
		s.hash.Write([]byte{0})
		return
	}
	s.hashValue(value)
}

func (s *State) hashValue(value any) {
	s.buf.Reset()
	if err := s.codec.enc.MarshalToBuffer(value, &s.buf); err != nil {
		s.fail(err)
	}
	s.hash.Write(s.buf.Bytes())
}

// fail remembers the first fault that no refusal can express.
func (s *State) fail(err error) {
	if s.fault == nil {
		s.fault = err
	}
}

// touch wakes the watchers of a topic when the entry is done.
func (s *State) touch(topics ...Topic) {
	for _, t := range topics {
		s.touched[t] = struct{}{}
	}
}

// after returns the leader's wall clock d from now, for display.
func (s *State) after(d time.Duration) time.Time { return s.Wall().Add(d) }

func (s *State) putProvider(p api.Provider) {
	p.Modified = s.meta.Index
	s.providers.Set(p.ID, p)
	s.note(tableProviders, string(p.ID), &p)
	s.touch(TopicCells, CellsOf(p.ID))
}

func (s *State) putTenant(t api.Tenant) {
	t.Modified = s.meta.Index
	s.tenants.Set(t.ID, t)
	s.note(tableTenants, string(t.ID), &t)
	s.touch(TopicTenants)
}

func (s *State) dropTenant(id api.TenantID) {
	s.tenants.Delete(id)
	s.note(tableTenants, string(id), nil)
	s.touch(TopicTenants)
}

func (s *State) putRun(r api.Run) {
	r.Modified = s.meta.Index
	old, had := s.runs.byID.Get(r.ID)
	s.runs.set(r, old, had)
	s.note(tableRuns, string(r.ID), &r)
	s.touch(TopicRuns, RunTopic(r.ID), RunsAt(r.Provider), RunsOf(r.Tenant))
	for _, c := range []api.CellID{old.CellID, r.CellID} {
		if c != "" {
			s.touch(CellTopic(c))
		}
	}
}

func (s *State) putBlob(r BlobRef) {
	r.Modified = s.meta.Index
	old, had := s.blobs.byKey.Get(r.key())
	s.blobs.set(r, old, had)
	s.note(tableBlobs, r.key(), &r)
}

func (s *State) putToken(r TokenRecord) {
	r.Modified = s.meta.Index
	s.tokens.set(r)
	s.note(tableTokens, r.JTI, &r)
}
