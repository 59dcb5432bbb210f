package binding

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// slowStore is a resource whose operations take until they are let go, as those of a disk
// that hangs.
type slowStore struct {
	store
	entered chan struct{}
	let     chan struct{}
}

func (s *slowStore) readAt(p []byte, off int64) error {
	close(s.entered)
	<-s.let
	return s.store.readAt(p, off)
}

// TestFenceByOperation proves that a resource somebody is still inside of is not given on:
// neither its bytes nor its amount, until the operator clears the fence.
func TestFenceByOperation(t *testing.T) {
	h := open(t, t.TempDir(), room())
	b, err := h.Bind(lease("a", api.KindMem, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	inner, ok := b.(*bound)
	if !ok {
		t.Fatalf("binding is a %T", b)
	}
	slow := &slowStore{inner.store, make(chan struct{}), make(chan struct{})}
	inner.store = slow
	read := make(chan error, 1)
	go func() {
		_, err := b.ReadAt(make([]byte, 10), 0)
		read <- err
	}()
	<-slow.entered
	start := time.Now()
	first := b.Close(t.Context())
	if took := time.Since(start); first == nil || took > time.Second {
		t.Fatalf("close beside an operation: %v after %s", first, took)
	}
	if again := b.Close(t.Context()); again == nil || again.Error() != first.Error() {
		t.Errorf("second close says %v, the first said %v", again, first)
	}
	if got := h.Free().Mem; got != 0 {
		t.Errorf("%d bytes of a fenced region are free", got)
	}
	if _, err := h.Bind(lease("b", api.KindMem, 1)); api.KindOf(err) != api.Overloaded {
		t.Errorf("a fenced region is given on: %v", err)
	}
	if _, err := b.WriteAt([]byte{1}, 0); api.KindOf(err) != api.LeaseRevoked {
		t.Errorf("a fenced region is written: %v", err)
	}
	if err := h.Unfence(t.Context(), "a"); err == nil {
		t.Error("unfenced beside an operation")
	}
	close(slow.let)
	if err := <-read; err != nil {
		t.Errorf("the operation inside: %v", err)
	}
	if err := h.Unfence(t.Context(), "a"); err != nil {
		t.Errorf("unfence: %v", err)
	}
	if got := h.Free(); got != room() {
		t.Errorf("after unfencing %+v is free", got)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("close after unfencing: %v", err)
	}
	if err := h.Unfence(t.Context(), "a"); err != nil {
		t.Errorf("unfence what is gone: %v", err)
	}
}

// TestUnfenceOfWhatWasNotClosed: what was fenced before anybody closed it is closed and given back; while
// somebody is inside it is not, and stays closed.
func TestUnfenceOfWhatWasNotClosed(t *testing.T) {
	h := open(t, t.TempDir(), room())
	for _, k := range []api.LeaseKind{api.KindMem, api.KindBlock, api.KindCPU} {
		b, err := h.Bind(lease(string(k), k, 512))
		if err != nil {
			t.Fatal(err)
		}
		inner, ok := b.(*bound)
		if !ok || !inner.gate.enter() {
			t.Fatalf("binding is a %T", b)
		}
		if err := h.Unfence(t.Context(), api.LeaseID(k)); err == nil {
			t.Errorf("%s: unfenced beside an operation", k)
		}
		inner.gate.leave()
		if err := b.Close(t.Context()); err == nil || h.Free() == room() {
			t.Errorf("%s: it is given back by nobody's word, %v", k, err)
		}
		if err := h.Unfence(t.Context(), api.LeaseID(k)); err != nil || h.Free() != room() {
			t.Errorf("%s: unfence: %v, free is %+v", k, err, h.Free())
		}
	}
}

// TestFenceByDisk proves the same for a file that cannot be removed.
func TestFenceByDisk(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, room())
	b, err := h.Bind(lease("a", api.KindBlock, 4096))
	if err != nil {
		t.Fatal(err)
	}
	path := blocksIn(t, dir)[0]
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err == nil {
		t.Fatal("a file that cannot be removed is torn down")
	}
	if got := h.Free().Block; got != 1<<20-4096 {
		t.Errorf("%d bytes are free beside a fence", got)
	}
	if err := h.Close(); err != nil {
		t.Errorf("a fence from before is a failure of Close: %v", err)
	}
	if _, err := Open(Options{Dir: dir, Capacity: room(), Log: hclog.NewNullLogger()}); err == nil {
		t.Error("a directory that cannot be wiped is opened")
	}
}

// TestFenceAtTheEnd: what cannot be torn down as the Host closes is said to be fenced, lease by lease.
func TestFenceAtTheEnd(t *testing.T) {
	f, err := ParseFaults("teardown-fails:cpu,teardown-fails:net")
	if err != nil {
		t.Fatal(err)
	}
	h := openWith(t, Options{Dir: t.TempDir(), Capacity: room(), Faults: f, Fenced: []Fence{{Lease: "old", Kind: api.KindCPU, Amount: 1}}})
	for _, k := range []api.LeaseKind{api.KindCPU, api.KindNet, api.KindMem} {
		if _, err := h.Bind(lease("of-"+string(k), k, 1)); err != nil {
			t.Fatal(err)
		}
	}
	err = h.Close()
	if api.KindOf(err) != api.LeaseFencedKind || api.Problem(err).Hint == "" {
		t.Errorf("Close is answered %v", err)
	}
	for word, want := range map[string]bool{"lease of-cpu is fenced": true, "lease of-net is fenced": true, "of-mem": false, "old": false} {
		if strings.Contains(fmt.Sprint(err), word) != want {
			t.Errorf("%q: %v", word, err)
		}
	}
}

// TestOpenWipes proves that what a dead agent left is gone before anything is bound, and
// that a live agent's files are not touched.
func TestOpenWipes(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "abc"+blockSuffix)
	other := filepath.Join(dir, "precious.txt")
	outside := filepath.Join(t.TempDir(), "target")
	for _, path := range []string{left, other, outside} {
		if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link"+blockSuffix)); err != nil {
		t.Fatal(err)
	}
	stale, err := os.Open(left)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stale.Close() }()
	h := open(t, dir, room())
	if files := blocksIn(t, dir); len(files) != 0 {
		t.Errorf("left are %v", files)
	}
	if n, _ := stale.Read(make([]byte, 4)); n != 0 {
		t.Error("who still had the file open reads its data")
	}
	for _, path := range []string{other, outside} {
		if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
			t.Errorf("%s was touched: %q %v", path, b, err)
		}
	}
	if _, err := Open(Options{Dir: dir, Capacity: room(), Log: hclog.NewNullLogger()}); err == nil {
		t.Error("two agents open one directory")
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, room())
}

// TestNoSpace proves that what the disk does not hold is refused, and takes nothing.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, room().With(api.KindBlock, api.MaxAmount))
	_, err := h.Bind(lease("a", api.KindBlock, api.MaxAmount/512*512-512))
	if api.KindOf(err) != api.Overloaded {
		t.Errorf("a block of 8 TiB: %v", err)
	}
	if h.Free().Block != api.MaxAmount || len(blocksIn(t, dir)) != 0 {
		t.Errorf("free %d, files %v", h.Free().Block, blocksIn(t, dir))
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"relative": {Dir: "x", Log: hclog.NewNullLogger()},
		"no log":   {Dir: t.TempDir()},
		"negative": {Dir: t.TempDir(), Log: hclog.NewNullLogger(), Capacity: api.Resources{CPU: -1}},
		"bound":    {Dir: t.TempDir(), Log: hclog.NewNullLogger(), CloseBound: -1},
		"no dir":   {Dir: "/proc/blocks", Log: hclog.NewNullLogger()},
	} {
		t.Run(name, func(t *testing.T) {
			if h, err := Open(o); err == nil {
				_ = h.Close()
				t.Error("opens")
			}
		})
	}
}

func diskBytes(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
