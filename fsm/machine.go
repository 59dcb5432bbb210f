package fsm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
)

// MaxStep bounds how far one entry moves cluster time: a leader with a wrong clock expires
// nothing at once.
const MaxStep = api.Tick(5 * time.Second)

// keepFingerprints is how many of the newest fingerprints are held to compare.
const keepFingerprints = 256

// Logger is what the machine needs of an hclog.Logger: it logs when it must stop, and nothing else.
type Logger interface {
	Error(msg string, args ...any)
}

// Options are what a Machine needs from its node. The callbacks are called by the goroutine
// that applies, in order, with no lock held.
type Options struct {
	Log Logger
	// Audit takes the audit records of each entry, in order; nil takes none. Their data is there
	// until it returns: it copies what it keeps (api.AuditRecord.Clone). It is called
	// again for entries that are replayed after a restart: the sink knows what it has. When it
	// fails the node must stop.
	Audit func([]api.AuditRecord) error
	// BeforePersist returns when the audit records are safe on disk: after the snapshot the
	// log that could make them again may be truncated. nil does nothing.
	BeforePersist func() error
	// Fatal is told, once, why this node must stop: an entry that it cannot read, or a sink
	// that failed. The machine applies nothing any more. nil does nothing.
	Fatal func(error)
	// EventRing is how many events are held; 0 is DefaultEventRing.
	EventRing int
	// Applied is told what each entry changed, before anybody sees it: for checkers in tests.
	// It is not told of a restore. nil, which is what a node has, costs nothing.
	Applied func(Change)
}

// Machine is the replicated state machine: Raft applies entries to it, everybody reads views.
// Apply, Snapshot and Restore belong to Raft's goroutine; the rest is safe for all.
type Machine struct {
	opts   Options
	codec  codec
	memory *memory // of the goroutine that applies, as is the state
	state  *State  // of the goroutine that applies
	view   atomic.Pointer[View]
	topics topics
	ring   ring
	fault  atomic.Pointer[error] // set once

	mu           sync.Mutex
	fingerprints []fingerprint // the newest, oldest first
}

type fingerprint struct {
	index uint64
	hash  [sha256.Size]byte
}

// New returns a machine with an empty state.
func New(o Options) *Machine {
	if o.Audit == nil {
		o.Audit = func([]api.AuditRecord) error { return nil }
	}
	if o.BeforePersist == nil {
		o.BeforePersist = func() error { return nil }
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	if o.EventRing <= 0 {
		o.EventRing = DefaultEventRing
	}
	m := &Machine{opts: o, memory: new(memory), topics: topics{chans: map[Topic]chan struct{}{}, parts: map[Topic]*uint64{}}, ring: ring{limit: o.EventRing}}
	cd, err := newCodec()
	if err != nil {
		m.stop(err) // the options are constants: a test would have told
	}
	m.codec = cd
	m.adopt(newState(cd))
	return m
}

// adopt makes s the state of the machine.
func (m *Machine) adopt(s *State) {
	if m.opts.Applied != nil {
		s.change = new(Change)
	}
	m.state = s
	m.view.Store(s.publish())
}

// View returns the state after the newest entry. It costs nothing and never changes.
func (m *Machine) View() *View { return m.view.Load() }

// Changed returns a channel that is closed at the first change of t after the call. Whoever
// waits takes it before the view, so that no change falls between. It may be closed without a
// change: look again.
func (m *Machine) Changed(t Topic) <-chan struct{} { return m.topics.changed(t) }

// LastChange returns the index at which a topic last changed on this node, or a later one.
// Of a lease or a run it knows nothing: their records say it.
func (m *Machine) LastChange(t Topic) uint64 { return m.topics.lastChange(t) }

// WaitIndex returns when a view at or past index is there, ctx has ended, or the machine has
// stopped. Raft's own entries have no view: index is one that an entry of ours had.
func (m *Machine) WaitIndex(ctx context.Context, index uint64) error {
	for {
		ch := m.Changed(TopicIndex)
		if m.View().Index() >= index {
			return nil
		}
		if err := m.stopped(); err != nil {
			return err
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d: %w", index, ctx.Err())
		}
	}
}

// EventPage is a part of the events.
type EventPage struct {
	Events []api.Event // oldest first
	// Gap says that some events behind the cursor that was asked for are not held: none is up
	// to Floor.
	Gap   bool
	Floor api.Cursor
	// Through is the place up to which Events is all that is held behind the cursor.
	Through api.Cursor
}

// EventsAfter returns the events behind c, at most limit of them.
func (m *Machine) EventsAfter(c api.Cursor, limit int) EventPage { return m.ring.after(c, limit) }

// Fingerprints returns the newest ones, oldest first, one per applied entry.
func (m *Machine) Fingerprints() []api.Fingerprint {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := m.fingerprints[max(0, len(m.fingerprints)-keepFingerprints):]
	prints := make([]api.Fingerprint, len(newest))
	for i, f := range newest {
		prints[i] = api.Fingerprint{Index: f.index, Hash: hex.EncodeToString(f.hash[:])}
	}
	return prints
}

// apply applies one entry and publishes the state after it.
func (m *Machine) apply(index uint64, e Entry) []Result {
	s := m.state
	if s.change != nil {
		s.change.reset()
	}
	s.begin(index, e)
	s.lookAhead(e.Commands)
	results := make([]Result, len(e.Commands))
	for i, c := range e.Commands {
		s.sub = uint32(i)
		results[i] = s.applyOne(c)
	}
	s.finish()
	if s.fault != nil {
		m.stop(fmt.Errorf("apply entry %d: %w", index, s.fault))
		return results
	}
	if s.change != nil {
		m.opts.Applied(s.tell(results))
	}
	if len(s.audits) > 0 {
		if err := m.opts.Audit(s.audits); err != nil {
			m.stop(fmt.Errorf("keep audit records of entry %d: %w", index, err))
			return results
		}
	}
	m.publish()
	return results
}

// lookAhead touches what grants will look for in the two large indexes and hardly ever find.
func (s *State) lookAhead(cs []Command) {
	for _, c := range cs {
		g, ok := c.(*GrantLeases)
		if !ok {
			continue
		}
		s.keys.byKey.Touch(s.keys.hash(g.Idem.Scope, g.Idem.Key))
		for i := range g.Items {
			s.leases.byID.Touch(s.leases.hash(g.Items[i].ID))
		}
	}
}

// applyOne applies one command: a key that was seen before answers what it answered then.
func (s *State) applyOne(c Command) Result {
	if need := LevelOf(c); need > s.meta.Level {
		return s.answer(Result{}, api.Refuse(api.Conflict, "a command of kind %d needs feature level %d, the cluster is at level %d", c.Kind(), need, s.meta.Level).
			WithHint("every scheduler must run a release that knows the level; then the leader raises it"))
	}
	var key Idem
	if k, ok := c.(idempotent); ok {
		key = k.idem()
		res, problem, done := s.replay(c.Kind(), key)
		if done {
			return s.answer(res, problem)
		}
	}
	before := s.writes
	res, problem := c.apply(s)
	res.Changed = s.writes > before
	if problem != nil {
		if res.Changed {
			s.fail(fmt.Errorf("command of kind %d refused with %s after it had changed the state", c.Kind(), problem.Kind))
		}
		return s.answer(Result{}, problem)
	}
	if res.Changed {
		s.remember(c.Kind(), key, res)
	}
	return s.answer(res, nil)
}

func (s *State) answer(res Result, problem *api.Error) Result {
	res.Problem = problem
	if !res.Replayed || res.Index == 0 {
		res.Index = s.meta.Index
	}
	return res
}

// publish hands out the state after an entry, then wakes those who wait for it.
func (m *Machine) publish() {
	s := m.state
	m.view.Store(s.publish())
	m.ring.add(s.meta.Index, &s.events)
	m.mu.Lock()
	if len(m.fingerprints) >= 2*keepFingerprints {
		m.fingerprints = append(m.fingerprints[:0], m.fingerprints[len(m.fingerprints)-keepFingerprints:]...)
	}
	m.fingerprints = append(m.fingerprints, fingerprint{s.meta.Index, s.meta.Fingerprint})
	m.mu.Unlock()
	m.topics.fire(&s.touched, s.meta.Index)
}

// stop ends the machine: it applies nothing any more, and its node is told why.
func (m *Machine) stop(err error) {
	if !m.fault.CompareAndSwap(nil, &err) {
		return
	}
	m.opts.Log.Error("state machine stopped", "error", err)
	m.topics.fireAll()
	m.opts.Fatal(err)
}

// stopped returns why the machine has stopped, nil while it runs.
func (m *Machine) stopped() error {
	if err := m.fault.Load(); err != nil {
		return *err
	}
	return nil
}
