package cellagent

import (
	"context"
	"slices"
	"sync"

	"github.com/grafos/grafos/api"
)

// pending is what waits to be said, by key, oldest first. A later value of a key takes the
// place of the one before, and is not taken for confirmed when only that one was.
type pending[K comparable, V any] struct {
	seq   uint64
	items map[K]waiting[V]
}

type waiting[V any] struct {
	since   uint64 // order of the first put
	version uint64
	value   V
}

func (p *pending[K, V]) put(k K, v V) {
	if p.items == nil {
		p.items = make(map[K]waiting[V])
	}
	p.seq++
	w, ok := p.items[k]
	if !ok {
		w.since = p.seq
	}
	w.version, w.value = p.seq, v
	p.items[k] = w
}

func (p *pending[K, V]) drop(k K) { delete(p.items, k) }

func (p *pending[K, V]) has(k K) bool {
	_, ok := p.items[k]
	return ok
}

// oldest returns at most n keys that pass ok, oldest first; a nil ok passes all.
func (p *pending[K, V]) oldest(n int, ok func(K, V) bool) []K {
	keys := make([]K, 0, len(p.items))
	for k, w := range p.items {
		if ok == nil || ok(k, w.value) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b K) int { return int(int64(p.items[a].since) - int64(p.items[b].since)) })
	return keys[:min(n, len(keys))]
}

// settle drops what has not changed since it was sent.
func (p *pending[K, V]) settle(sent map[K]uint64) {
	for k, version := range sent {
		if w, ok := p.items[k]; ok && w.version == version {
			delete(p.items, k)
		}
	}
}

// endedItem is the end of a lease, with the run that must have its result first.
type endedItem struct {
	report api.EndedReport
	run    api.RunID
}

// outbox keeps what the schedulers have not confirmed yet. Everything in it is level-triggered:
// the newest word on a key is what counts, and saying it twice is harmless.
type outbox struct {
	wake chan struct{} // has a value when something was put in
	idle chan struct{} // has a value when everything was confirmed

	mu        sync.Mutex
	inventory pending[struct{}, api.InventoryReport]
	bound     pending[api.LeaseID, struct{}] // the token is minted when the report is made
	ended     pending[api.LeaseID, endedItem]
	runs      pending[api.RunID, api.RunReport]
	minted    pending[string, api.Minted]
	progress  pending[api.LeaseID, api.LeaseProgress]
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)} }

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) putInventory(r api.InventoryReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inventory.put(struct{}{}, r)
	o.signal()
}

func (o *outbox) putBound(id api.LeaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bound.put(id, struct{}{})
	o.signal()
}

// repeatBound says a binding again unless that is waiting to be said or confirmed already.
func (o *outbox) repeatBound(id api.LeaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.bound.has(id) {
		o.bound.put(id, struct{}{})
		o.signal()
	}
}

func (o *outbox) dropBound(id api.LeaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bound.drop(id)
}

// putEnded puts the end of a lease; it is not said before what waits to be said of its run.
func (o *outbox) putEnded(r api.EndedReport, run api.RunID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended.put(r.LeaseID, endedItem{report: r, run: run})
	o.signal()
}

// putRun puts the state of a run and, with it, the ends of its leases.
func (o *outbox) putRun(r api.RunReport, ended ...api.EndedReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs.put(r.RunID, r)
	for _, e := range ended {
		o.ended.put(e.LeaseID, endedItem{report: e, run: r.RunID})
	}
	o.signal()
}

func (o *outbox) putMinted(m api.Minted) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.minted.items) >= api.MaxReportItems { // nobody waits that long for an answer
		o.minted.drop(o.minted.oldest(1, nil)[0])
	}
	o.minted.put(m.AskID, m)
	o.signal()
}

// putProgress puts how far the announced end of a lease has come.
func (o *outbox) putProgress(p api.LeaseProgress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress.put(p.LeaseID, p)
	o.signal()
}

// empty reports whether everything was said and confirmed.
func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size() == 0
}

func (o *outbox) size() int {
	return len(o.inventory.items) + len(o.bound.items) + len(o.ended.items) + len(o.runs.items) + len(o.minted.items) + len(o.progress.items)
}

// sent remembers what a report carried, in which version.
type sent struct {
	inventory map[struct{}]uint64
	bound     map[api.LeaseID]uint64
	ended     map[api.LeaseID]uint64
	runs      map[api.RunID]uint64
	minted    map[string]uint64
	progress  map[api.LeaseID]uint64
}

func (s sent) items() int {
	return len(s.inventory) + len(s.bound) + len(s.ended) + len(s.runs) + len(s.minted) + len(s.progress)
}

// compose makes a report of the oldest items, at most limit of them in a list, and at most one
// in all when limit is one. bind gives the reports of bindings as they are now, with fresh
// tokens; it is called without the lock, and what is no longer bound is left out.
func (o *outbox) compose(limit int, bind func([]api.LeaseID) ([]api.BoundReport, []api.LeaseID)) (api.Report, sent) {
	r, s, binds := o.collect(min(limit, api.MaxReportItems))
	var stale []api.LeaseID
	r.Bound, stale = bind(binds)
	if len(stale) > 0 {
		gone := sent{bound: make(map[api.LeaseID]uint64)}
		for _, id := range stale {
			gone.bound[id] = s.bound[id]
			delete(s.bound, id)
		}
		o.settle(gone)
	}
	return r, s
}

func (o *outbox) collect(limit int) (api.Report, sent, []api.LeaseID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var r api.Report
	s := sent{}
	room := func() int {
		if limit == 1 {
			return 1 - s.items()
		}
		return limit
	}
	s.inventory = versions(&o.inventory, o.inventory.oldest(room(), nil))
	for range s.inventory {
		inv := o.inventory.items[struct{}{}].value
		r.Inventory = &inv
	}
	progress := o.progress.oldest(room(), nil)
	s.progress = versions(&o.progress, progress)
	for _, id := range progress {
		r.Progress = append(r.Progress, o.progress.items[id].value)
	}
	runs := o.runs.oldest(room(), nil)
	s.runs = versions(&o.runs, runs)
	for _, id := range runs {
		r.Runs = append(r.Runs, o.runs.items[id].value)
	}
	// A lease of a run ends no earlier than the result is said (C6).
	ended := o.ended.oldest(room(), func(_ api.LeaseID, e endedItem) bool {
		_, now := s.runs[e.run]
		return e.run == "" || now || !o.runs.has(e.run)
	})
	s.ended = versions(&o.ended, ended)
	for _, id := range ended {
		r.Ended = append(r.Ended, o.ended.items[id].value.report)
	}
	binds := o.bound.oldest(room(), nil)
	s.bound = versions(&o.bound, binds)
	minted := o.minted.oldest(room(), nil)
	s.minted = versions(&o.minted, minted)
	for _, id := range minted {
		r.Minted = append(r.Minted, o.minted.items[id].value)
	}
	return r, s, binds
}

func versions[K comparable, V any](p *pending[K, V], keys []K) map[K]uint64 {
	sent := make(map[K]uint64, len(keys))
	for _, k := range keys {
		sent[k] = p.items[k].version
	}
	return sent
}

// settle drops what was sent and is confirmed or refused, unless there is newer word on it.
func (o *outbox) settle(s sent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inventory.settle(s.inventory)
	o.bound.settle(s.bound)
	o.ended.settle(s.ended)
	o.runs.settle(s.runs)
	o.minted.settle(s.minted)
	o.progress.settle(s.progress)
	if o.size() == 0 {
		select {
		case o.idle <- struct{}{}:
		default:
		}
	}
}

// drained waits until everything is confirmed, or until ctx ends.
func (o *outbox) drained(ctx context.Context) {
	for !o.empty() {
		select {
		case <-o.idle:
		case <-ctx.Done():
			return
		}
	}
}
