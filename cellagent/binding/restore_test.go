package binding

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// openWith opens a Host over what was left in dir.
func openWith(t *testing.T, o Options) *Host {
	t.Helper()
	o.Log = hclog.NewNullLogger()
	h, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// TestFencesAreCountedFirst: what an agent before this one could not tear down is counted before
// anything is bound, whatever its file has become; it is given back when an operator says so, and
// its file is gone then.
func TestFencesAreCountedFirst(t *testing.T) {
	dir := t.TempDir()
	block := blockPath(dir, "b")
	if err := os.WriteFile(block, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	stuck := blockPath(dir, "stuck")
	if err := os.MkdirAll(filepath.Join(stuck, "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	fences := []Fence{
		{Lease: "m", Kind: api.KindMem, Amount: 1 << 19},
		{Lease: "b", Kind: api.KindBlock, Amount: 4096},
		{Lease: "stuck", Kind: api.KindBlock, Amount: 512},
		{Lease: "c", Kind: api.KindCPU, Amount: 5000},
	}
	for range 2 { // a second agent finds the files where the first has put them
		h := openWith(t, Options{Dir: dir, Capacity: room(), Fenced: fences})
		h.Fence(fences[0]) // again
		if got, want := h.Free(), room().Sub(api.Resources{CPU: 5000, Mem: 1 << 19, Block: 4608}); got != want {
			t.Errorf("free is %+v, want %+v", got, want)
		}
		if _, err := h.Bind(lease("x", api.KindMem, room().Mem-1<<19+1)); api.KindOf(err) != api.Overloaded {
			t.Errorf("what is fenced is given on: %v", err)
		}
		if _, err := h.Bind(lease("m", api.KindMem, 1)); api.KindOf(err) != api.Conflict {
			t.Errorf("a fenced lease is bound: %v", err)
		}
		if files := blocksIn(t, dir); len(files) != 0 {
			t.Errorf("in the way are %v", files)
		}
		if err := h.Close(); err != nil {
			t.Errorf("a fence from before is a failure of Close: %v", err)
		}
	}
	h := openWith(t, Options{Dir: dir, Capacity: room(), Fenced: fences})
	for _, id := range []api.LeaseID{"m", "b", "c"} {
		if err := h.Unfence(t.Context(), id); err != nil {
			t.Errorf("unfence %s: %v", id, err)
		}
	}
	if err := h.Unfence(t.Context(), "stuck"); err == nil {
		t.Error("what cannot be removed is given back")
	}
	if got := h.Free(); got != room().With(api.KindBlock, room().Block-512) {
		t.Errorf("free is %+v", got)
	}
	left, err := os.ReadDir(filepath.Join(dir, dirFenced))
	if err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestFaults: what is asked to fail fails, so often, and fences; nothing else does.
func TestFaults(t *testing.T) {
	for _, bad := range []string{"", "teardown-fails", "teardown-fails:x", "serves-ended:x", "x:mem", "teardown-fails:mem:0", "teardown-fails:mem:1:2", "bind-fails:mem,"} {
		if _, err := ParseFaults(bad); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
	f, err := ParseFaults("teardown-fails:cpu:1, bind-fails:net:1,teardown-hangs:mem:1")
	if err != nil {
		t.Fatal(err)
	}
	h := openWith(t, Options{Dir: t.TempDir(), Capacity: room(), Faults: f, CloseBound: 1e8})
	if _, err := h.Bind(lease("n", api.KindNet, 1)); api.KindOf(err) != api.Overloaded {
		t.Errorf("bound: %v", err)
	}
	for _, k := range []api.LeaseKind{api.KindCPU, api.KindMem} {
		b, err := h.Bind(lease(string(k), k, 1))
		if err != nil {
			t.Fatal(err)
		}
		if b.CloseNow() {
			t.Errorf("%s is torn down at once", k)
		}
		first := b.Close(t.Context())
		if again := b.Close(t.Context()); first == nil || again == nil || again.Error() != first.Error() {
			t.Errorf("%s: %v, then %v", k, first, again)
		}
		if h.Free().Get(k) != room().Get(k)-1 {
			t.Errorf("%d of %s are free beside a fence", h.Free().Get(k), k)
		}
		if err := h.Unfence(t.Context(), api.LeaseID(k)); err != nil {
			t.Errorf("unfence %s: %v", k, err)
		}
	}
	for _, k := range []api.LeaseKind{api.KindCPU, api.KindNet, api.KindMem, api.KindGPU} {
		b, err := h.Bind(lease("again", k, 1))
		if err != nil || !b.CloseNow() {
			t.Fatalf("%s after its faults: %v", k, err)
		}
	}
	if h.Free() != room() {
		t.Errorf("free is %+v", h.Free())
	}
}

// TestDeadlineInsideTheGate: whoever is past every other check when the deadline comes is
// refused all the same, before the operation and after it.
func TestDeadlineInsideTheGate(t *testing.T) {
	now := int64(100)
	h := openWith(t, Options{Dir: t.TempDir(), Capacity: room(), Now: func() int64 { return now }})
	for _, k := range []api.LeaseKind{api.KindMem, api.KindBlock} {
		now = 100
		b, err := h.Bind(lease(string(k), k, 1024))
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 512)
		if _, err := b.WriteAt(p, 0); err != nil {
			t.Errorf("%s without a deadline: %v", k, err)
		}
		b.Until(200)
		now = 199
		if _, err := b.ReadAt(p, 0); err != nil {
			t.Errorf("%s before its deadline: %v", k, err)
		}
		inner, ok := b.(*bound)
		if !ok {
			t.Fatalf("binding is a %T", b)
		}
		inner.store = lateStore{inner.store, func() { now = 200 }}
		if _, err := b.ReadAt(p, 0); api.KindOf(err) != api.LeaseExpiredKind {
			t.Errorf("%s: what was read when the lease ended: %v", k, err)
		}
		inner.store = lateStore{inner.store, func() { t.Errorf("%s is touched after its end", k) }}
		if _, err := b.ReadAt(p, 0); api.KindOf(err) != api.LeaseExpiredKind {
			t.Errorf("%s: read at its end: %v", k, err)
		}
		if _, err := b.WriteAt(p, 0); api.KindOf(err) != api.LeaseExpiredKind {
			t.Errorf("%s: written at its end: %v", k, err)
		}
		b.Until(300)
		inner.store = lateStore{inner.store, func() {}}
		now = 150
	}
}

// lateStore does something whenever it is touched.
type lateStore struct {
	store
	then func()
}

func (s lateStore) readAt(p []byte, off int64) error {
	s.then()
	if later, ok := s.store.(lateStore); ok {
		return later.store.readAt(p, off)
	}
	return s.store.readAt(p, off)
}

func (s lateStore) writeAt(p []byte, off int64) error {
	s.then()
	return s.store.writeAt(p, off)
}

// TestFaultsOfTokens: a cell whose key a test knows has a data plane that is sound.
func TestFaultsOfTokens(t *testing.T) {
	for text, want := range map[string]struct{ corrupts, known bool }{
		"known-key:mem": {known: true}, "bind-fails:mem": {}, "takes-any-token:mem": {corrupts: true}, "known-key:mem,wants-no-proof:block": {corrupts: true, known: true},
	} {
		f, err := ParseFaults(text)
		if err != nil {
			t.Fatal(err)
		}
		if f.Corrupts() != want.corrupts || f.Names(work.FaultKnownKey) != want.known {
			t.Errorf("%s: corrupts %v, names the key %v", text, f.Corrupts(), f.Names(work.FaultKnownKey))
		}
	}
}
