package cellagent

import (
	"container/list"
	"context"
	"sync"

	"github.com/grafos/grafos/api"
)

// pending is what waits to be said, by key, oldest first. A later value of a key takes the
// place of the one before, and is not taken for confirmed when only that one was.
type pending[K comparable, V any] struct {
	seq   uint64
	items map[K]*list.Element // of *waiting[K, V]
	line  list.List           // in the order of the first put
	aloft int                 // how many the reports under way carry
}

type waiting[K comparable, V any] struct {
	key     K
	version uint64
	value   V
	flying  bool // a report with it is under way
}

func (p *pending[K, V]) put(k K, v V) {
	if p.items == nil {
		p.items = make(map[K]*list.Element)
	}
	p.seq++
	if w := p.at(k); w != nil {
		w.version, w.value = p.seq, v
		return
	}
	p.items[k] = p.line.PushBack(&waiting[K, V]{key: k, version: p.seq, value: v})
}

// at is what waits of a key, or nil.
func (p *pending[K, V]) at(k K) *waiting[K, V] {
	if e, ok := p.items[k]; ok {
		return e.Value.(*waiting[K, V]) //nolint:errcheck,forcetypeassert // there is nothing else in it
	}
	return nil
}

func (p *pending[K, V]) drop(k K) {
	if e, ok := p.items[k]; ok {
		p.line.Remove(e)
		delete(p.items, k)
	}
}

// oldest returns at most n of those that no report under way carries and that pass ok, oldest
// first; a nil ok passes all. It is made for every report, with thousands behind those that are
// taken: they are not looked at.
func (p *pending[K, V]) oldest(n int, ok func(*waiting[K, V]) bool) []*waiting[K, V] {
	out := make([]*waiting[K, V], 0, max(0, min(n, p.line.Len())))
	for e := p.line.Front(); e != nil && len(out) < n; e = e.Next() {
		w := e.Value.(*waiting[K, V]) //nolint:errcheck,forcetypeassert // as in at
		if !w.flying && (ok == nil || ok(w)) {
			out = append(out, w)
		}
	}
	return out
}

// take notes that a report carries these, and returns in which versions.
func (p *pending[K, V]) take(taken []*waiting[K, V]) map[K]uint64 {
	sent := make(map[K]uint64, len(taken))
	for _, w := range taken {
		w.flying = true
		sent[w.key] = w.version
	}
	p.aloft += len(taken)
	return sent
}

// land takes back what a report carried that is no longer under way. What was confirmed is
// dropped, unless it has changed since it was sent.
func (p *pending[K, V]) land(sent map[K]uint64, confirmed bool) {
	p.aloft -= len(sent)
	for k, version := range sent {
		switch w := p.at(k); {
		case w == nil:
		case confirmed && w.version == version:
			p.drop(k)
		default:
			w.flying = false
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
	binding   map[api.LeaseID]struct{} // whose bindings the reports under way carry, dropped since or not
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), idle: make(chan struct{}, 1), binding: make(map[api.LeaseID]struct{})}
}

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
	if o.bound.at(id) == nil {
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
	for len(o.minted.items)-o.minted.aloft >= api.MaxReportItems { // nobody waits that long for an answer
		o.minted.drop(o.minted.oldest(1, nil)[0].key)
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
	inventory := o.inventory.oldest(room(), nil)
	s.inventory = o.inventory.take(inventory)
	for _, w := range inventory {
		inv := w.value
		r.Inventory = &inv
	}
	progress := o.progress.oldest(room(), nil)
	s.progress = o.progress.take(progress)
	for _, w := range progress {
		r.Progress = append(r.Progress, w.value)
	}
	runs := o.runs.oldest(room(), nil)
	s.runs = o.runs.take(runs)
	for _, w := range runs {
		r.Runs = append(r.Runs, w.value)
	}
	// A lease of a run ends no earlier than the result is said (C6); no end overtakes what was said
	// of its lease before.
	ended := o.ended.oldest(room(), func(w *waiting[api.LeaseID, endedItem]) bool {
		_, binding := o.binding[w.key]
		_, run := s.runs[w.value.run]
		_, progress := s.progress[w.key]
		return !binding && (run || w.value.run == "" || o.runs.at(w.value.run) == nil) && (progress || o.progress.at(w.key) == nil)
	})
	s.ended = o.ended.take(ended)
	for _, w := range ended {
		r.Ended = append(r.Ended, w.value.report)
	}
	bound := o.bound.oldest(room(), nil)
	s.bound = o.bound.take(bound)
	binds := make([]api.LeaseID, 0, len(bound))
	for _, w := range bound {
		binds = append(binds, w.key)
		o.binding[w.key] = struct{}{}
	}
	minted := o.minted.oldest(room(), nil)
	s.minted = o.minted.take(minted)
	for _, w := range minted {
		r.Minted = append(r.Minted, w.value)
	}
	return r, s, binds
}

// settle drops what was sent and is confirmed or refused, unless there is newer word on it.
func (o *outbox) settle(s sent) { o.land(s, true) }

// again has what was sent, and not confirmed, wait to be sent again.
func (o *outbox) again(s sent) { o.land(s, false) }

func (o *outbox) land(s sent, confirmed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inventory.land(s.inventory, confirmed)
	o.bound.land(s.bound, confirmed)
	o.ended.land(s.ended, confirmed)
	o.runs.land(s.runs, confirmed)
	o.minted.land(s.minted, confirmed)
	o.progress.land(s.progress, confirmed)
	for id := range s.bound {
		delete(o.binding, id)
	}
	if o.size() == 0 {
		select {
		case o.idle <- struct{}{}:
		default:
		}
	}
}

// waits reports whether there is something that no report under way carries. What was dropped
// while one carries it counts against that until it lands, when this is asked again.
func (o *outbox) waits() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size() > o.inventory.aloft+o.bound.aloft+o.ended.aloft+o.runs.aloft+o.minted.aloft+o.progress.aloft
}

// full reports whether what waits, and is not under way, fills a report.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(len(o.bound.items)-o.bound.aloft, len(o.ended.items)-o.ended.aloft) >= api.MaxReportItems
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
