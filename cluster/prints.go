package cluster

import (
	"sync"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

const (
	// printEvery is at which indexes a fingerprint is kept to be compared: at every multiple, so
	// that all nodes keep those of the same ones.
	printEvery = 256
	// keepPrints is how many are kept: what a node may be behind and still be compared.
	keepPrints = 16
)

// prints are fingerprints of the state at agreed indexes. The zero value has none.
type prints struct {
	mu   sync.Mutex
	list []api.Fingerprint // guarded by mu: oldest first
}

// note keeps the fingerprint of a state where its index is one of those.
func (p *prints) note(index uint64, view *fsm.View) {
	if index%printEvery != 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, api.Fingerprint{Index: index, Hash: view.Fingerprint()})
	p.list = p.list[max(0, len(p.list)-keepPrints):]
}

// reset forgets all: the state was replaced.
func (p *prints) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = nil
}

// with returns what is kept, and the fingerprint of the state as it is: while nothing happens,
// all nodes are at one index.
func (p *prints) with(now *fsm.View) []api.Fingerprint {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]api.Fingerprint, 0, len(p.list)+1)
	for _, f := range p.list {
		if f.Index < now.Index() {
			list = append(list, f)
		}
	}
	return append(list, api.Fingerprint{Index: now.Index(), Hash: now.Fingerprint()})
}
