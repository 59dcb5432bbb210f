package fsm

import (
	"strings"
	"sync"

	"github.com/grafos/grafos/api"
)

// Topic names what a watcher waits for.
type Topic string

// The topics of whole tables. TopicCells also covers providers.
const (
	TopicIndex   Topic = "index"
	TopicCells   Topic = "cells"
	TopicLeases  Topic = "leases"
	TopicRuns    Topic = "runs"
	TopicTenants Topic = "tenants"
	TopicEvents  Topic = "events"
)

// The topics of what belongs to one provider or tenant: its part of a table.

// CellsOf is the topic of a provider's cells, and of the provider itself.
func CellsOf(p api.ProviderID) Topic { return "cells/" + Topic(p) }

// LeasesAt is the topic of a provider's leases.
func LeasesAt(p api.ProviderID) Topic { return "leases/at/" + Topic(p) }

// LeasesOf is the topic of a tenant's leases.
func LeasesOf(t api.TenantID) Topic { return "leases/of/" + Topic(t) }

// RunsAt is the topic of a provider's runs.
func RunsAt(p api.ProviderID) Topic { return "runs/at/" + Topic(p) }

// RunsOf is the topic of a tenant's runs.
func RunsOf(t api.TenantID) Topic { return "runs/of/" + Topic(t) }

// CellTopic is the topic of a cell: its record, its leases and its runs.
func CellTopic(id api.CellID) Topic { return Topic("cell/" + id) }

// LeaseTopic is the topic of a lease.
func LeaseTopic(id api.LeaseID) Topic { return leaseTopic + Topic(id) }

// RunTopic is the topic of a run and of its leases.
func RunTopic(id api.RunID) Topic { return runTopic + Topic(id) }

const (
	leaseTopic = "lease/"
	runTopic   = "run/"
)

// lasts reports whether it is remembered when the topic last fired. Of a lease or a run the
// record says when it changed; there are too many of them to remember it twice.
func (t Topic) lasts() bool {
	return !strings.HasPrefix(string(t), leaseTopic) && !strings.HasPrefix(string(t), runTopic)
}

// maxTopics bounds the topics that somebody waited for and that have not fired since: above
// it all of them fire, and those who still wait look once in vain and ask again.
const maxTopics = 1 << 16

// topics wakes watchers. A channel is made when somebody asks for it and closed, and
// forgotten, at the first change after that.
type topics struct {
	mu    sync.Mutex
	chans map[Topic]chan struct{}
	// newest is the index at which each of the topics that last has last fired; base stands for
	// those that did not since the state came from a snapshot, or since newest was too large.
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

// lastChange returns the index at which a topic last fired; not of a lease or a run. It may
// be later than that, never earlier: a blocking read then answers once without news.
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
	clear(t.newest)
}

func (t *topics) fire(touched map[Topic]struct{}, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.newest) > maxTopics { // of tenants and cells that are no more
		t.base = index
		clear(t.newest)
	}
	for topic := range touched {
		if topic.lasts() {
			t.newest[topic] = index
		}
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
