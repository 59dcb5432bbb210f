package binding

import (
	"bytes"
	"os"
	"sync"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestKept: a block is left by the Host that is closed and found by the next one with what is in
// it, when it is said to be kept; otherwise it is wiped. What is not as it was left is not kept.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	h := openWith(t, Options{Dir: dir, Capacity: room()})
	keep := []api.Lease{lease("a", api.KindBlock, 4096), lease("short", api.KindBlock, 1024), lease("gone", api.KindBlock, 512)}
	for _, l := range append([]api.Lease{lease("other", api.KindBlock, 512)}, keep...) {
		b, err := h.Bind(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.WriteAt([]byte("of "+l.ID), 100); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil || len(blocksIn(t, dir)) != 4 {
		t.Fatalf("left are %v, %v", blocksIn(t, dir), err)
	}
	if err := os.Truncate(blockPath(dir, "short"), 512); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(blockPath(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	h = openWith(t, Options{Dir: dir, Capacity: room(), Kept: keep})
	if h.Free() != room().With(api.KindBlock, room().Block-4096) || len(blocksIn(t, dir)) != 1 {
		t.Errorf("free is %+v, left are %v", h.Free(), blocksIn(t, dir))
	}
	b, ok := h.Adopt("a")
	if !ok {
		t.Fatal("it is not there")
	}
	if _, again := h.Adopt("a"); again {
		t.Error("it is there twice")
	}
	p := make([]byte, 4)
	if _, err := b.ReadAt(p, 100); err != nil || string(p) != "of a" {
		t.Errorf("in it is %q, %v", p, err)
	}
	if _, err := h.Bind(lease("a", api.KindBlock, 512)); api.KindOf(err) != api.Conflict {
		t.Errorf("it is bound again: %v", err)
	}
	stale, err := os.Open(blockPath(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stale.Close() }()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := stale.Read(p); n != 0 || len(blocksIn(t, dir)) != 0 || h.Free() != room() {
		t.Errorf("after its end %d bytes are read, left are %v, free is %+v", n, blocksIn(t, dir), h.Free())
	}
}

// TestSectorsAreWhole: whoever reads beside a writer sees every sector as one of the writes left
// it.
func TestSectorsAreWhole(t *testing.T) {
	h := openWith(t, Options{Dir: t.TempDir(), Capacity: room()})
	const size = 256 << 10
	b, err := h.Bind(lease("a", api.KindBlock, size))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for i := range 300 {
			if _, err := b.WriteAt(bytes.Repeat([]byte{byte(i)}, size), 0); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			p := make([]byte, size)
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := b.ReadAt(p, 0); err != nil {
					t.Error(err)
					return
				}
				for s := 0; s < size; s += api.BlockSize {
					if bytes.Count(p[s:s+api.BlockSize], p[s:s+1]) != api.BlockSize {
						t.Errorf("sector %d is torn", s/api.BlockSize)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestSync is for blocks; what has no disk has nothing to sync.
func TestSync(t *testing.T) {
	h := openWith(t, Options{Dir: t.TempDir(), Capacity: room()})
	for _, k := range []api.LeaseKind{api.KindBlock, api.KindMem, api.KindCPU} {
		b, err := h.Bind(lease(string(k), k, 512))
		if err != nil {
			t.Fatal(err)
		}
		s, ok := b.(interface{ Sync() error })
		if !ok {
			t.Fatalf("a %T cannot sync", b)
		}
		if err := s.Sync(); err != nil {
			t.Errorf("%s: %v", k, err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(); (k == api.KindBlock) != (api.KindOf(err) == api.LeaseRevoked) {
			t.Errorf("%s after its end: %v", k, err)
		}
	}
}
