package cow

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// An index is checked against a model in which nothing that was removed is missing before
// Cleared says so, also where hashes are alike.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash := rapid.SampledFrom([]func(uint64) uint64{
			func(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 },
			func(n uint64) uint64 { return n % 3 },
			func(n uint64) uint64 { return n << 60 },
		}).Draw(t, "hash")
		var x Index
		there := map[uint64]bool{}
		var order []uint64
		for next := range rapid.Uint64Range(1, 600).Draw(t, "steps") {
			if len(order) == 0 || rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				x.Add(hash(next), next)
				there[next] = true
				order = append(order, next)
				continue
			}
			n := order[0]
			order = order[1:]
			x.shards[slotHash(hash(n))>>56].clear(slotHash(hash(n)), n)
			delete(there, n)
		}
		for n := range uint64(600) {
			ref, ok := x.Find(hash(n), func(ref uint64) bool { return ref == n })
			if ok != there[n] || ok && ref != n {
				t.Fatalf("find %d: %d %v, want %v", n, ref, ok, there[n])
			}
		}
	})
}

// What is removed is found until heldBack others were removed after it, and then Cleared says
// that it may be missing.
func TestIndexHoldsBack(t *testing.T) {
	var x Index
	hash := func(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 }
	found := func(n uint64) bool {
		_, ok := x.Find(hash(n), func(ref uint64) bool { return ref == n })
		return ok
	}
	const all = 2*heldBack + 10
	for n := range uint64(all) {
		x.Add(hash(n), n)
	}
	for n := range uint64(all) {
		x.Remove(1000+n, hash(n), n)
		if gone := int(n) - heldBack; gone < 0 {
			if !found(0) || x.Cleared() != 0 {
				t.Fatalf("0 is missing after %d more", n)
			}
		} else if found(uint64(gone)) || !found(uint64(gone)+1) || x.Cleared() != 1000+uint64(gone) {
			t.Fatalf("after %d: %v %v, cleared %d", n, found(uint64(gone)), found(uint64(gone)+1), x.Cleared())
		}
	}
	if n := cap(x.removed); n > 4*heldBack {
		t.Errorf("%d removals are remembered", n)
	}
	slots := 0
	for i := range x.shards {
		slots += len(*x.shards[i].slots.Load())
	}
	if slots > 6*all {
		t.Errorf("%d slots for %d numbers", slots, all)
	}
}

// Readers find what their version holds while the writer adds, removes and grows.
func TestIndexWhileItIsWritten(t *testing.T) {
	var x Index
	hash := func(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 }
	const window = 200
	var newest atomic.Uint64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				n := newest.Load()
				if n == 0 {
					continue
				}
				if ref, ok := x.Find(hash(n), func(ref uint64) bool { return ref == n }); !ok || ref != n {
					t.Errorf("find %d: %d %v", n, ref, ok)
					return
				}
			}
		})
	}
	for n := uint64(1); n < heldBack+2_000; n++ {
		x.Add(hash(n), n)
		newest.Store(n)
		if n > window {
			x.Remove(n, hash(n-window), n-window)
		}
	}
	stop.Store(true)
	wg.Wait()
}
