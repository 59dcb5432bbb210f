package fsm

import (
	"context"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// MaxStep bounds how far one entry moves cluster time.
const MaxStep = api.Tick(5 * time.Second)

// Options are what a Machine needs from its node.
type Options struct {
	Log           hclog.Logger
	Audit         func([]api.AuditRecord) error
	BeforePersist func() error
	Fatal         func(error)
	EventRing     int
}

// Machine is the replicated state machine: raft applies entries to it, everyone reads views.
type Machine struct{}

// New returns a machine with an empty state.
func New(o Options) *Machine { return &Machine{} }

// View returns the state after the newest entry.
func (m *Machine) View() *View { return &View{} }

// Changed returns a channel that is closed at the first change of t after the call.
func (m *Machine) Changed(t Topic) <-chan struct{} { return nil }

// WaitIndex waits until the entry at index is applied.
func (m *Machine) WaitIndex(ctx context.Context, index uint64) error { return nil }

// EventsAfter returns the events after c.
func (m *Machine) EventsAfter(c api.Cursor, limit int) (events []api.Event, gap bool) {
	return nil, false
}

// Fingerprints returns the newest ones.
func (m *Machine) Fingerprints() []api.Fingerprint { return nil }

// Apply implements raft.FSM.
func (m *Machine) Apply(l *raft.Log) any { return []Result(nil) }

// Snapshot implements raft.FSM.
func (m *Machine) Snapshot() (raft.FSMSnapshot, error) { return nil, nil }

// Restore implements raft.FSM.
func (m *Machine) Restore(rc io.ReadCloser) error { return nil }

// Topic names what a watcher waits for.
type Topic string

// The topics.
const (
	TopicIndex   Topic = "index"
	TopicCells   Topic = "cells"
	TopicLeases  Topic = "leases"
	TopicRuns    Topic = "runs"
	TopicTenants Topic = "tenants"
	TopicEvents  Topic = "events"
)

// CellTopic fires when the cell's record, leases or runs change.
func CellTopic(id api.CellID) Topic { return Topic("cell/" + id) }

// LeaseTopic fires when the lease changes.
func LeaseTopic(id api.LeaseID) Topic { return Topic("lease/" + id) }

// RunTopic fires when the run changes.
func RunTopic(id api.RunID) Topic { return Topic("run/" + id) }

// State is the state while an entry is applied to it.
type State struct{ View }

// Check lists every broken invariant.
func Check(v *View) []error { return nil }
