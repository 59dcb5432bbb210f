package fsm

import (
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

// The prefixes of the topics of one record.
const (
	prefixCell  = "cell/"
	prefixLease = "lease/"
	prefixRun   = "run/"
)

// CellTopic is the topic of a cell: its record, its leases and its runs.
func CellTopic(id api.CellID) Topic { return Topic(prefixCell + id) }

// LeaseTopic is the topic of a lease.
func LeaseTopic(id api.LeaseID) Topic { return Topic(prefixLease + id) }

// RunTopic is the topic of a run.
func RunTopic(id api.RunID) Topic { return Topic(prefixRun + id) }

// touched is what an entry changed: the fixed topics as bits, and records. One that was
// changed twice may be there twice.
type touched struct {
	fixed  uint8
	cells  []api.CellID
	leases []api.LeaseID
	runs   []api.RunID
}

func (t *touched) reset() {
	t.fixed, t.cells, t.leases, t.runs = 0, t.cells[:0], t.leases[:0], t.runs[:0]
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
	// newest is the index at which each of the fixed topics last fired; base stands for those
	// that did not since the state came from a snapshot.
	newest [fixedTopics]uint64
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

// lastChange returns the index at which a topic that is always there last fired. It may be
// later than that, never earlier: a blocking read then answers once without news.
func (t *topics) lastChange(topic Topic) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, name := range fixed() {
		if name == topic {
			return max(t.newest[i], t.base)
		}
	}
	return t.base
}

// rebase says that everything may have changed at index.
func (t *topics) rebase(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base = index
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
	if len(t.chans) == 0 {
		return
	}
	for _, id := range touched.cells {
		t.wake(append(append(t.name[:0], prefixCell...), id...))
	}
	for _, id := range touched.leases {
		t.wake(append(append(t.name[:0], prefixLease...), id...))
	}
	for _, id := range touched.runs {
		t.wake(append(append(t.name[:0], prefixRun...), id...))
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
