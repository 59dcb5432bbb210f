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

// CellTopic is the topic of a cell: its record, its leases and its runs.
func CellTopic(id api.CellID) Topic { return Topic("cell/" + id) }

// LeaseTopic is the topic of a lease.
func LeaseTopic(id api.LeaseID) Topic { return Topic("lease/" + id) }

// RunTopic is the topic of a run.
func RunTopic(id api.RunID) Topic { return Topic("run/" + id) }

// maxTopics bounds the topics that somebody waited for and that have not fired since: above
// it all of them fire, and those who still wait look once in vain and ask again.
const maxTopics = 1 << 16

// topics wakes watchers. A channel is made when somebody asks for it and closed, and
// forgotten, at the first change after that.
type topics struct {
	mu    sync.Mutex
	chans map[Topic]chan struct{}
	// newest is the index at which each of the topics that are always there last fired; base
	// stands for those that did not since the state came from a snapshot.
	newest map[Topic]uint64
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
	return max(t.newest[topic], t.base)
}

// rebase says that everything may have changed at index.
func (t *topics) rebase(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base = index
}

func (t *topics) fire(touched map[Topic]struct{}, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, topic := range []Topic{TopicIndex, TopicCells, TopicLeases, TopicRuns, TopicTenants, TopicEvents} {
		if _, ok := touched[topic]; ok {
			t.newest[topic] = index
		}
	}
	if len(t.chans) == 0 {
		return
	}
	for topic := range touched {
		if ch, ok := t.chans[topic]; ok {
			close(ch)
			delete(t.chans, topic)
		}
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
