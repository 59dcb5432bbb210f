package binding

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestRegionsAreHandedOnClean: what one lease wrote no later one reads, whose memory it gets.
func TestRegionsAreHandedOnClean(t *testing.T) {
	h := open(t, t.TempDir(), api.Resources{Mem: 1 << 30})
	for i, size := range []int64{1, 100, 4096, 4096, 5000, pooledMost, pooledMost, pooledMost + 1, pooledMost + 1} {
		l := api.Lease{ID: api.LeaseID(fmt.Sprint("l", i)), Kind: api.KindMem, Use: api.UseRegion, Amount: size}
		b, err := h.Bind(l)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := b.ReadAt(got, 0); err != nil || !bytes.Equal(got, make([]byte, size)) {
			t.Fatalf("region %d of %d bytes begins with something in it, %v", i, size, err)
		}
		if _, err := b.WriteAt(bytes.Repeat([]byte{0xff}, int(size/2+1)), size-size/2-1); err != nil {
			t.Fatal(err)
		}
		if now := b.CloseNow(); now != (size <= pooledMost) {
			t.Fatalf("region of %d bytes: closed at once is %t", size, now)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(got[:1], 0); api.KindOf(err) != api.LeaseRevoked {
			t.Fatalf("read after the end: %v", err)
		}
	}
	if free := h.Free(); free.Mem != 1<<30 {
		t.Fatalf("%d bytes are free at the end", free.Mem)
	}
}

// TestPoolIsBounded: however many leases end at one time, only so much of their memory is kept.
func TestPoolIsBounded(t *testing.T) {
	h := open(t, t.TempDir(), api.Resources{Mem: 1 << 30})
	var all []Binding
	for i := range 3 * poolBytes / pooledMost {
		b, err := h.Bind(api.Lease{ID: api.LeaseID(fmt.Sprint("l", i)), Kind: api.KindMem, Use: api.UseRegion, Amount: pooledMost - int64(i%2)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	for _, b := range all {
		if !b.CloseNow() {
			t.Fatal("a region in which nobody is needs a wait")
		}
	}
	if h.pool.bytes != poolBytes {
		t.Fatalf("%d bytes are kept, want %d", h.pool.bytes, poolBytes)
	}
	kept := 0
	for _, list := range h.pool.free {
		kept += len(list)
	}
	if kept != poolBytes/pooledMost {
		t.Fatalf("%d regions are kept", kept)
	}
}

// TestCloseNowWaitsForNobody: with an operation inside it says no, and lets nobody else in.
func TestCloseNowWaitsForNobody(t *testing.T) {
	h := open(t, t.TempDir(), api.Resources{Mem: 1 << 20, Block: 1 << 20, CPU: 1000})
	bind := func(l api.Lease) *bound {
		t.Helper()
		b, err := h.Bind(l)
		if err != nil {
			t.Fatal(err)
		}
		own, ok := b.(*bound)
		if !ok {
			t.Fatalf("Bind returned %T", b)
		}
		return own
	}
	mem := bind(api.Lease{ID: "mem", Kind: api.KindMem, Use: api.UseRegion, Amount: 4096})
	if !mem.gate.enter() {
		t.Fatal("nobody gets in")
	}
	if mem.CloseNow() {
		t.Fatal("closed while an operation is inside")
	}
	if _, err := mem.WriteAt([]byte{1}, 0); api.KindOf(err) != api.LeaseRevoked {
		t.Fatalf("somebody got in: %v", err)
	}
	if h.Free().Mem != 1<<20-4096 {
		t.Fatal("its amount was given back")
	}
	mem.gate.leave()
	if err := mem.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if block := bind(api.Lease{ID: "block", Kind: api.KindBlock, Amount: 512}); block.CloseNow() {
		t.Fatal("a disk was waited for")
	}
	if cpu := bind(api.Lease{ID: "cpu", Kind: api.KindCPU, Amount: 1000}); !cpu.CloseNow() || h.Free().CPU != 1000 {
		t.Fatal("a reservation is not given back at once")
	}
}
