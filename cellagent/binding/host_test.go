package binding

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func open(t *testing.T, dir string, capacity api.Resources) *Host {
	t.Helper()
	h, err := Open(Options{Dir: dir, Capacity: capacity, Log: hclog.NewNullLogger(), CloseBound: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() }) // tests of fences leave one
	return h
}

func room() api.Resources {
	return api.Resources{CPU: 1000, Mem: 1 << 20, Block: 1 << 20, Net: 1000, GPU: 1}
}

func lease(id string, k api.LeaseKind, amount int64) api.Lease {
	l := api.Lease{ID: api.LeaseID(id), Tenant: "acme", Kind: k, Amount: amount}
	if k == api.KindMem {
		l.Use = api.UseRegion
	}
	return l
}

func TestBind(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, room())
	for _, k := range []api.LeaseKind{api.KindMem, api.KindBlock} {
		t.Run(string(k), func(t *testing.T) {
			b, err := h.Bind(lease("l-"+string(k), k, 8192))
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Free().Get(k); got != 1<<20-8192 || b.Size() != 8192 {
				t.Errorf("free %d, size %d", got, b.Size())
			}
			all := bytes.Repeat([]byte{1}, 8192)
			if n, err := b.ReadAt(all, 0); n != 8192 || err != nil || !bytes.Equal(all, make([]byte, 8192)) {
				t.Errorf("a new %s is not zero: %d %v", k, n, err)
			}
			if _, err := b.WriteAt([]byte("hello"), 8187); err != nil {
				t.Error(err)
			}
			p := make([]byte, 5)
			if _, err := b.ReadAt(p, 8187); err != nil || string(p) != "hello" {
				t.Errorf("read %q %v", p, err)
			}
			if err := b.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(t.Context()); err != nil {
				t.Errorf("second close: %v", err)
			}
			if got := h.Free(); got != room() {
				t.Errorf("after the teardown %+v is free", got)
			}
			if _, err := b.ReadAt(p, 0); api.KindOf(err) != api.LeaseRevoked {
				t.Errorf("read after the teardown: %v", err)
			}
			if _, err := b.WriteAt(p, 0); api.KindOf(err) != api.LeaseRevoked {
				t.Errorf("write after the teardown: %v", err)
			}
		})
	}
	if files := blocksIn(t, dir); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
}

// TestPreallocated proves that a block's bytes are taken from the disk when it is bound.
func TestPreallocated(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, room())
	if _, err := h.Bind(lease("a", api.KindBlock, 1<<20)); err != nil {
		t.Fatal(err)
	}
	files := blocksIn(t, dir)
	if len(files) != 1 {
		t.Fatalf("files are %v", files)
	}
	if got := diskBytes(t, files[0]); got < 1<<20 {
		t.Errorf("%d bytes are on disk, want %d", got, 1<<20)
	}
}

func blocksIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+blockSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestRefusals(t *testing.T) {
	h := open(t, t.TempDir(), room())
	if _, err := h.Bind(lease("held", api.KindCPU, 600)); err != nil {
		t.Fatal(err)
	}
	linear := lease("linear", api.KindMem, 1)
	linear.Use = "other"
	for name, tt := range map[string]struct {
		lease api.Lease
		kind  api.Kind
	}{
		"again":         {lease("held", api.KindCPU, 1), api.Conflict},
		"too much":      {lease("a", api.KindCPU, 401), api.Overloaded},
		"far too much":  {lease("a", api.KindMem, api.MaxAmount), api.Overloaded},
		"overflow":      {lease("a", api.KindCPU, math.MaxInt64), api.InvalidArgument},
		"zero":          {lease("a", api.KindGPU, 0), api.InvalidArgument},
		"negative":      {lease("a", api.KindNet, -1), api.InvalidArgument},
		"no id":         {lease("", api.KindCPU, 1), api.InvalidArgument},
		"no kind":       {lease("a", "", 1), api.InvalidArgument},
		"part of block": {lease("a", api.KindBlock, 513), api.InvalidArgument},
		"no use":        {linear, api.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Bind(tt.lease)
			if got := api.KindOf(err); got != tt.kind {
				t.Errorf("got %q (%v), want %q", got, err, tt.kind)
			}
			if e, ok := api.AsError(err); ok && e.Kind == api.Overloaded && (e.Shortage == nil || e.Asked != tt.lease.Amount) {
				t.Errorf("refusal has no evidence: %+v", e)
			}
		})
	}
	if want := room().With(api.KindCPU, 400); h.Free() != want {
		t.Errorf("refusals took something: %+v is free", h.Free())
	}
}

// TestReservation proves that what has no bytes counts and refuses to be read.
func TestReservation(t *testing.T) {
	h := open(t, t.TempDir(), room())
	linear := lease("lin", api.KindMem, 1<<20)
	linear.Use = api.UseLinear
	for _, l := range []api.Lease{lease("cpu", api.KindCPU, 1000), lease("net", api.KindNet, 1000), lease("gpu", api.KindGPU, 1), linear} {
		b, err := h.Bind(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(nil, 0); api.KindOf(err) != api.InvalidArgument || b.Size() != 0 {
			t.Errorf("%s: read: %v, size %d", l.ID, err, b.Size())
		}
	}
	if got, want := h.Free(), (api.Resources{Block: 1 << 20}); got != want {
		t.Errorf("free %+v, want %+v", got, want)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := h.Free(); got != room() {
		t.Errorf("after Close %+v is free", got)
	}
	if _, err := h.Bind(lease("late", api.KindCPU, 1)); api.KindOf(err) != api.Overloaded {
		t.Errorf("bind after Close: %v", err)
	}
}

// TestBounds proves that no offset and length, however large, reaches outside.
func TestBounds(t *testing.T) {
	h := open(t, t.TempDir(), room())
	const size = 1024
	var all []Binding
	for _, k := range []api.LeaseKind{api.KindMem, api.KindBlock} {
		b, err := h.Bind(lease(string(k), k, size))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, size+2), rapid.Int64Range(math.MaxInt64-2000, math.MaxInt64)).Draw(t, "off")
		n := rapid.IntRange(0, size+2).Draw(t, "n")
		inside := off >= 0 && off <= size && int64(n) <= size-off
		for i, b := range all {
			p := make([]byte, n)
			got, err := b.WriteAt(p, off)
			if (err == nil) != inside || (inside && got != n) {
				t.Fatalf("%d: write of %d at %d: %d %v", i, n, off, got, err)
			}
			got, err = b.ReadAt(p, off)
			if (err == nil) != inside || (inside && got != n) {
				t.Fatalf("%d: read of %d at %d: %d %v", i, n, off, got, err)
			}
		}
	})
}

// TestCapacityProperty proves L1 on the cell: whatever is bound and closed in whatever order,
// what is bound is never more than the capacity, and Free is the rest.
func TestCapacityProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		capacity := api.Resources{CPU: 4000, Mem: 64 << 10, Block: 64 << 10, Net: 500, GPU: 2}
		h := open(t, t.TempDir(), capacity)
		defer func() { _ = h.Close() }()
		live := map[api.LeaseID]Binding{}
		amounts := map[api.LeaseID]api.Lease{}
		serial := 0
		rt.Repeat(map[string]func(*rapid.T){
			"bind": func(rt *rapid.T) {
				k := rapid.SampledFrom(api.LeaseKinds()).Draw(rt, "kind")
				amount := rapid.Int64Range(1, capacity.Get(k)+capacity.Get(k)/4).Draw(rt, "amount")
				if k == api.KindBlock {
					amount = max(amount/512*512, 512)
				}
				serial++
				l := lease(fmt.Sprintf("l%d", serial), k, amount)
				fits := amount <= h.Free().Get(k)
				b, err := h.Bind(l)
				if (err == nil) != fits {
					rt.Fatalf("bind %d of %s with %d free: %v", amount, k, h.Free().Get(k), err)
				}
				if err == nil {
					live[l.ID], amounts[l.ID] = b, l
				}
			},
			"close": func(rt *rapid.T) {
				for id, b := range live {
					if err := b.Close(context.Background()); err != nil {
						rt.Fatal(err)
					}
					delete(live, id)
					delete(amounts, id)
					return
				}
			},
			"": func(rt *rapid.T) {
				var sum api.Resources
				for _, l := range amounts {
					sum = sum.With(l.Kind, sum.Get(l.Kind)+l.Amount)
				}
				if !capacity.Fits(sum) || h.Free() != capacity.Sub(sum) {
					rt.Fatalf("bound %+v of %+v, free %+v", sum, capacity, h.Free())
				}
			},
		})
	})
}

// TestConcurrent proves the same under contention, with operations during teardowns.
func TestConcurrent(t *testing.T) {
	h := open(t, t.TempDir(), room())
	var wg sync.WaitGroup
	var holding, most int64
	var mu sync.Mutex
	for i := range 16 {
		wg.Go(func() {
			for round := range 25 {
				k := []api.LeaseKind{api.KindMem, api.KindBlock}[(i+round)%2]
				b, err := h.Bind(lease(fmt.Sprintf("%d-%d", i, round), k, 128<<10))
				if err != nil {
					if api.KindOf(err) != api.Overloaded {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				holding += 128 << 10
				most = max(most, holding)
				mu.Unlock()
				var users sync.WaitGroup
				for range 4 {
					users.Go(func() {
						p := make([]byte, 4096)
						for off := int64(0); off < 128<<10; off += 4096 {
							if _, err := b.WriteAt(p, off); err != nil && api.KindOf(err) != api.LeaseRevoked {
								t.Error(err)
							}
							if _, err := b.ReadAt(p, off); err != nil && api.KindOf(err) != api.LeaseRevoked {
								t.Error(err)
							}
						}
					})
				}
				mu.Lock()
				holding -= 128 << 10 // before the close: it may be given on within it
				mu.Unlock()
				if err := b.Close(t.Context()); err != nil {
					t.Error(err)
				}
				users.Wait()
			}
		})
	}
	wg.Wait()
	if most > 2<<20 {
		t.Errorf("%d bytes were bound at once, capacity is %d", most, 2<<20)
	}
	if h.Free() != room() {
		t.Errorf("%+v is free at the end", h.Free())
	}
}
