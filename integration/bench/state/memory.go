package main

import (
	"runtime"

	"github.com/grafos/grafos/fsm"
)

// heap is what is reachable.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// large measures a state of many leases: what a lease takes, applied, with a view after every
// entry, and with an old view held while a tenth of the leases is changed; then its snapshot,
// and what the state takes that is restored from it. The same with idempotency keys follows.
func (b *bench) large() error {
	w, err := newWorld(b.cells, b.tenants)
	if err != nil {
		return err
	}
	w.keyed = false
	empty := heap()
	if err := w.fill(b.leases); err != nil {
		return err
	}
	n := uint64(b.leases)
	own := uint64(cap(w.made)) * 40 // the benchmark's own list, and the ids that it holds
	per := (heap() - empty - own) / n
	copies, err := b.held(w)
	if err != nil {
		return err
	}
	b.say("state memory bytes_per_lease=%d with_an_old_view=%d leases=%d aim=1000", per, (copies-empty-own)/n, b.leases)
	if err := b.snapshotOf(w); err != nil {
		return err
	}
	if err := b.keyMemory(); err != nil {
		return err
	}
	keyed, err := newWorld(b.cells, b.tenants)
	if err != nil {
		return err
	}
	if err := keyed.fill(b.leases); err != nil {
		return err
	}
	return b.snapshotOf(keyed)
}

// held is what is reachable when an old view is held while a tenth of the leases is renewed.
func (b *bench) held(w *world) (uint64, error) {
	old := w.m.View()
	if err := w.renew(b.leases / 10); err != nil {
		return 0, err
	}
	all := heap()
	runtime.KeepAlive(old)
	return all, nil
}

// renew renews the first n leases.
func (w *world) renew(n int) error {
	for at := 0; at < n; at += maxGroup {
		var cs []fsm.Command
		for _, l := range w.made[at:min(n, at+maxGroup)] {
			cs = append(cs, fsm.RenewLease{Actor: "tenant/acme", Lease: l.id, TTLMs: 7_200_000})
		}
		if err := w.commit(cs...); err != nil {
			return err
		}
	}
	return nil
}

// keyMemory measures what an idempotency record takes, apart.
func (b *bench) keyMemory() error {
	var sizes [2]uint64
	n := b.leases / 10
	for i, keyed := range []bool{false, true} {
		w, err := newWorld(b.cells, b.tenants)
		if err != nil {
			return err
		}
		w.keyed = keyed
		empty := heap()
		if err := w.fill(n); err != nil {
			return err
		}
		sizes[i] = heap() - empty
		runtime.KeepAlive(w)
	}
	b.say("state memory bytes_per_idempotency_key=%d", (sizes[1]-sizes[0])/uint64(n))
	return nil
}
