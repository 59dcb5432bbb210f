package fsm

import (
	"slices"
	"sync"

	"github.com/grafos/grafos/api"
)

// Topic names what a watcher waits for.
type Topic string

// The topics that are always there. TopicCells also covers providers.
const (
	TopicIndex   Topic = "index"
	TopicCells   Topic = "cells"
	TopicLeases  Topic = "leases"
	TopicRuns    Topic = "runs"
	TopicTenants Topic = "tenants"
	TopicEvents  Topic = "events"
)

// The same topics as numbers.
const (
	topicIndex = iota
	topicCells
	topicLeases
	topicRuns
	topicTenants
	topicEvents
	fixedTopics
)

// fixed lists them in the order of their numbers.
func fixed() [fixedTopics]Topic {
	return [...]Topic{TopicIndex, TopicCells, TopicLeases, TopicRuns, TopicTenants, TopicEvents}
}

// The prefixes of the topics of one record, and of a part of a table.
const (
	prefixCell     = "cell/"
	prefixLease    = "lease/"
	prefixRun      = "run/"
	prefixCellsOf  = "cells/"
	prefixLeasesAt = "leases/at/"
	prefixLeasesOf = "leases/of/"
	prefixRunsAt   = "runs/at/"
	prefixRunsOf   = "runs/of/"
)

// The topics of what belongs to one provider or tenant: its part of a table.

// CellsOf is the topic of a provider's cells, and of the provider itself.
func CellsOf(p api.ProviderID) Topic { return Topic(prefixCellsOf + p) }

// LeasesAt is the topic of a provider's leases.
func LeasesAt(p api.ProviderID) Topic { return Topic(prefixLeasesAt + p) }

// LeasesOf is the topic of a tenant's leases.
func LeasesOf(t api.TenantID) Topic { return Topic(prefixLeasesOf + t) }

// RunsAt is the topic of a provider's runs.
func RunsAt(p api.ProviderID) Topic { return Topic(prefixRunsAt + p) }

// RunsOf is the topic of a tenant's runs.
func RunsOf(t api.TenantID) Topic { return Topic(prefixRunsOf + t) }

// CellTopic is the topic of a cell: its record, its leases and its runs.
func CellTopic(id api.CellID) Topic { return Topic(prefixCell + id) }

// LeaseTopic is the topic of a lease.
func LeaseTopic(id api.LeaseID) Topic { return Topic(prefixLease + id) }

// RunTopic is the topic of a run and of its leases.
func RunTopic(id api.RunID) Topic { return Topic(prefixRun + id) }

// touched is what an entry changed: the fixed topics as bits, records, and parts of tables.
// What was changed twice may be there twice.
type touched struct {
	fixed                     uint8
	cells                     []api.CellID
	leases                    []api.LeaseID
	runs                      []api.RunID
	cellsOf, leasesAt, runsAt []api.ProviderID
	leasesOf, runsOf          []api.TenantID
}

func (t *touched) reset() {
	*t = touched{
		cells: again(t.cells), leases: again(t.leases), runs: again(t.runs),
		cellsOf: again(t.cellsOf), leasesAt: again(t.leasesAt), runsAt: again(t.runsAt),
		leasesOf: again(t.leasesOf), runsOf: again(t.runsOf),
	}
}

// add appends id unless it is one of the last few: what is changed together often has one owner,
// or some in turn.
func add[T comparable](list []T, id T) []T {
	const few = 4
	if slices.Contains(list[max(0, len(list)-few):], id) {
		return list
	}
	return append(list, id)
}

// maxTopics bounds the topics that somebody waited for and that have not fired since: above
// it all of them fire, and those who still wait look once in vain and ask again.
const maxTopics = 1 << 16

// topics wakes watchers. A channel is made when somebody asks for it and closed, and
// forgotten, at the first change after that.
type topics struct {
	mu    sync.Mutex
	chans map[Topic]chan struct{} // guarded by mu, and so is the rest
	name  []byte                  // scratch
	// newest is the index at which each of the fixed topics last fired, parts the same of cells
	// and of parts of tables; base stands for those that did not since the state came from a
	// snapshot, or since there were too many parts. Of a lease or a run the record says when it
	// changed: there are too many of them to remember it twice.
	newest [fixedTopics]uint64
	parts  map[Topic]*uint64
	base   uint64
}

func (t *topics) changed(topic Topic) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch, ok := t.chans[topic]
	if ok {
		return ch
	}
	if len(t.chans) >= maxTopics {
		t.fireAllLocked()
	}
	ch = make(chan struct{})
	t.chans[topic] = ch
	return ch
}

// lastChange returns the index at which a topic last fired; not of a lease or a run. It may be
// later than that, never earlier: a blocking read then answers once without news.
func (t *topics) lastChange(topic Topic) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, name := range fixed() {
		if name == topic {
			return max(t.newest[i], t.base)
		}
	}
	if at, ok := t.parts[topic]; ok {
		return max(*at, t.base)
	}
	return t.base
}

// rebase says that everything may have changed at index.
func (t *topics) rebase(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base = index
	clear(t.parts)
}

func (t *topics) fire(touched *touched, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, name := range fixed() {
		if touched.fixed&(1<<i) != 0 {
			t.newest[i] = index
			t.wake(append(t.name[:0], name...))
		}
	}
	if len(t.parts) > maxTopics { // of tenants and cells that are no more
		t.base = index
		clear(t.parts)
	}
	fireAt(t, prefixCell, touched.cells, index)
	fireAt(t, prefixCellsOf, touched.cellsOf, index)
	fireAt(t, prefixLeasesAt, touched.leasesAt, index)
	fireAt(t, prefixLeasesOf, touched.leasesOf, index)
	fireAt(t, prefixRunsAt, touched.runsAt, index)
	fireAt(t, prefixRunsOf, touched.runsOf, index)
	if len(t.chans) == 0 {
		return
	}
	for _, id := range touched.leases {
		t.wake(append(append(t.name[:0], prefixLease...), id...))
	}
	for _, id := range touched.runs {
		t.wake(append(append(t.name[:0], prefixRun...), id...))
	}
}

// fireAt wakes the topics of a list, and remembers that they fired at index.
func fireAt[T ~string](t *topics, prefix string, list []T, index uint64) {
	for _, id := range list {
		name := append(append(t.name[:0], prefix...), id...)
		if at, ok := t.parts[Topic(name)]; ok {
			*at = index
		} else {
			first := index
			t.parts[Topic(name)] = &first
		}
		t.wake(name)
	}
}

// wake closes the channel of a topic, if somebody asked for it.
func (t *topics) wake(topic []byte) {
	t.name = topic
	if ch, ok := t.chans[Topic(topic)]; ok {
		close(ch)
		delete(t.chans, Topic(topic))
	}
}

func (t *topics) fireAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fireAllLocked()
}

func (t *topics) fireAllLocked() {
	for topic, ch := range t.chans {
		close(ch)
		delete(t.chans, topic)
	}
}
