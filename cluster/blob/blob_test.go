package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// net is a working network of stores; a node that is cut answers nothing, one that is slow
// answers when its gate is closed.
type net struct {
	mu     sync.Mutex
	stores map[api.NodeID]*Store
	cut    map[api.NodeID]bool
	slow   map[api.NodeID]chan struct{}
	puts   atomic.Int64
	spoil  func(io.ReadCloser) io.ReadCloser // what a fetched body turns into
}

// from is the network as one node sees it.
type from struct {
	*net
	node api.NodeID
}

func (f from) Others() []api.NodeID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var others []api.NodeID
	for _, n := range []api.NodeID{"s1", "s2", "s3"} {
		if f.stores[n] != nil && n != f.node {
			others = append(others, n)
		}
	}
	return others
}

func (f from) reach(ctx context.Context, node api.NodeID) (*Store, error) {
	f.mu.Lock()
	s, cut, gate := f.stores[node], f.cut[node], f.slow[node]
	f.mu.Unlock()
	if cut {
		return nil, errors.New("connection refused")
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s, nil
}

func (f from) PutReplica(ctx context.Context, node api.NodeID, d api.Digest, size int64, r io.Reader) error {
	f.puts.Add(1)
	s, err := f.reach(ctx, node)
	if err != nil {
		return err
	}
	return s.PutLocal(ctx, d, size, r)
}

func (f from) GetReplica(ctx context.Context, node api.NodeID, d api.Digest) (io.ReadCloser, int64, error) {
	s, err := f.reach(ctx, node)
	if err != nil {
		return nil, 0, err
	}
	r, n, err := s.GetLocal(d)
	if err == nil && f.spoil != nil {
		r = f.spoil(r)
	}
	return r, n, err
}

func cluster(t *testing.T) *net {
	t.Helper()
	n := &net{stores: map[api.NodeID]*Store{}, cut: map[api.NodeID]bool{}, slow: map[api.NodeID]chan struct{}{}}
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	for _, node := range []api.NodeID{"s1", "s2", "s3"} {
		s, err := Open(t.TempDir(), Config{
			Peers: from{n, node}, Quorum: func() int { return 2 }, MaxBytes: 1 << 20, ReplicaTime: 10 * time.Second, Log: hclog.NewNullLogger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for range 2 {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		n.stores[node] = s
	}
	return n
}

func blobOf(text string) (api.Digest, int64, []byte) {
	return api.DigestOf(sha256.Sum256([]byte(text))), int64(len(text)), []byte(text)
}

func put(t *testing.T, s *Store, text string) api.Digest {
	t.Helper()
	d, n, b := blobOf(text)
	if err := s.Put(t.Context(), d, n, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t *testing.T, s *Store, d api.Digest) string {
	t.Helper()
	r, n, err := s.Get(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != n {
		t.Fatalf("read %d of %d bytes: %v", len(b), n, err)
	}
	return string(b)
}

// files lists what is in a store's directory, temporary files too.
func files(t *testing.T, s *Store) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(s.dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, e.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestPutReachesEveryone(t *testing.T) {
	n := cluster(t)
	for _, text := range []string{"a module", "", strings.Repeat("x", 300_000)} {
		d := put(t, n.stores["s1"], text)
		have := 0
		for _, s := range n.stores {
			if s.HasLocal(d) {
				have++
			}
		}
		if have < 2 {
			t.Errorf("acknowledged with %d copies", have)
		}
		for node, s := range n.stores {
			eventually(t, string(node)+" has it", func() bool { return s.HasLocal(d) })
			if got := read(t, s, d); got != text {
				t.Errorf("%s reads %d bytes, want %d", node, len(got), len(text))
			}
			if ok, err := s.Has(t.Context(), d); !ok || err != nil {
				t.Errorf("%s: a quorum has it: %v, %v", node, ok, err)
			}
		}
	}
}

func TestBadPutsLeaveNothing(t *testing.T) {
	d, size, body := blobOf("the right bytes")
	cause := errors.New("the client hung up")
	gone, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	tests := []struct {
		name string
		gone bool // the caller left
		d    api.Digest
		size int64
		body io.Reader
		kind api.Kind
		is   error
	}{
		{name: "other bytes", d: d, size: size, body: strings.NewReader("the wrong bytes"), kind: api.DigestMismatch},
		{name: "a short body", d: d, size: size, body: bytes.NewReader(body[:5]), kind: api.InvalidArgument},
		{name: "a body cut off", d: d, size: size, body: io.MultiReader(bytes.NewReader(body[:5]), iotest.ErrReader(io.ErrUnexpectedEOF)), kind: api.InvalidArgument},
		{name: "a long body", d: d, size: size - 1, body: bytes.NewReader(body), kind: api.InvalidArgument},
		{name: "no size", d: d, size: -1, body: bytes.NewReader(body), kind: api.InvalidArgument},
		{name: "too large", d: d, size: 1<<20 + 1, body: bytes.NewReader(body), kind: api.TooLarge},
		{name: "no digest", d: "sha256:../../etc/passwd", size: size, body: bytes.NewReader(body), kind: api.InvalidArgument},
		{name: "a body that fails", d: d, size: size, body: iotest.ErrReader(cause), is: cause},
		{name: "a caller that left", gone: true, d: d, size: size, body: bytes.NewReader(body), is: cause},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := cluster(t)
			ctx := t.Context()
			if tt.gone {
				ctx = gone
			}
			err := n.stores["s1"].Put(ctx, tt.d, tt.size, tt.body)
			if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && api.KindOf(err) != tt.kind {
				t.Errorf("got %v", err)
			}
			for node, s := range n.stores {
				if left := files(t, s); len(left) != 0 {
					t.Errorf("%s has %v", node, left)
				}
			}
		})
	}
}

// failing is a disk on which one step fails.
type failing struct {
	osDisk
	step string
	err  error
	room int // bytes that can be written
}

type failingFile struct {
	*os.File
	d *failing
}

func (d *failing) create(dir string) (file, error) {
	if d.step == "create" {
		return nil, d.err
	}
	f, err := os.CreateTemp(dir, "put-*")
	return &failingFile{f, d}, err
}

func (d *failing) syncDir(dir string) error {
	if d.step == "syncdir" {
		return d.err
	}
	return d.osDisk.syncDir(dir)
}

func (f *failingFile) Write(p []byte) (int, error) {
	if f.d.step == "write" {
		if f.d.room -= len(p); f.d.room < 0 {
			return 0, f.d.err
		}
	}
	return f.File.Write(p)
}

func (f *failingFile) Sync() error {
	if f.d.step == "sync" {
		return f.d.err
	}
	return f.File.Sync()
}

func TestDiskFailuresLeaveNothing(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "syncdir"} {
		for want, fault := range map[api.Kind]error{api.Overloaded: unix.ENOSPC, api.Internal: unix.EIO} {
			t.Run(step+" "+string(want), func(t *testing.T) {
				s := cluster(t).stores["s1"]
				bad := &failing{step: step, err: &fs.PathError{Op: step, Path: "x", Err: fault}, room: 70_000}
				s.disk = bad
				d, size, body := blobOf(strings.Repeat("y", 200_000))
				err := s.Put(t.Context(), d, size, bytes.NewReader(body))
				if api.KindOf(err) != want || !errors.Is(err, fault) && want == api.Internal {
					t.Errorf("got %v, want %s", err, want)
				}
				if left := files(t, s); len(left) != 0 {
					t.Errorf("left %v", left)
				}
				bad.step = ""
				put(t, s, strings.Repeat("y", 200_000))
			})
		}
	}
}

func TestPutDoesNotWaitForTheSlow(t *testing.T) {
	n := cluster(t)
	gate := make(chan struct{})
	n.slow["s3"] = gate
	d := put(t, n.stores["s1"], "module")
	if n.stores["s3"].HasLocal(d) || !n.stores["s2"].HasLocal(d) {
		t.Error("s2 has it and s3 does not, at this point")
	}
	close(gate)
	eventually(t, "s3 gets it in the end", func() bool { return n.stores["s3"].HasLocal(d) })
}

func TestCloseEndsTheSlow(t *testing.T) {
	n := cluster(t)
	n.slow["s3"] = make(chan struct{}) // never answers
	put(t, n.stores["s1"], "module")
	if err := n.stores["s1"].Close(); err != nil {
		t.Error(err)
	}
	d, size, body := blobOf("another")
	if err := n.stores["s1"].Put(t.Context(), d, size, bytes.NewReader(body)); api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("a put after Close: %v", err)
	}
}

func TestPutNeedsAQuorum(t *testing.T) {
	n := cluster(t)
	n.cut["s2"], n.cut["s3"] = true, true
	d, size, body := blobOf("module")
	err := n.stores["s1"].Put(t.Context(), d, size, bytes.NewReader(body))
	if p, ok := api.AsError(err); !ok || p.Kind != api.OutcomeUnknown || !p.Retryable {
		t.Errorf("got %v", err)
	}
	if ok, err := n.stores["s1"].Has(t.Context(), d); ok || api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("has: %v, %v", ok, err)
	}
	n.mu.Lock()
	n.cut["s2"] = false
	n.mu.Unlock()
	put(t, n.stores["s1"], "module") // the repeat

	n.mu.Lock()
	n.slow["s2"] = make(chan struct{})
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	other, size, body := blobOf("other")
	go func() { done <- n.stores["s1"].Put(ctx, other, size, bytes.NewReader(body)) }()
	eventually(t, "it is on its own disk", func() bool { return n.stores["s1"].HasLocal(other) })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that leaves while it waits: %v", err)
	}
}

func TestPutsOfOneDigestAreOne(t *testing.T) {
	n := cluster(t)
	gate := make(chan struct{})
	n.slow["s2"], n.slow["s3"] = gate, gate
	d, size, body := blobOf("module")
	s := n.stores["s1"]
	var wg sync.WaitGroup
	var reads atomic.Int64
	for range 20 {
		wg.Go(func() {
			counted := readerFunc(func(p []byte) (int, error) {
				reads.Add(1)
				return bytes.NewReader(body).Read(p)
			})
			if err := s.Put(t.Context(), d, size, io.LimitReader(counted, size)); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "the first put waits for its replicas", func() bool { return n.puts.Load() == 2 })
	close(gate)
	wg.Wait()
	if reads.Load() > 2 || n.puts.Load() > 4 {
		t.Errorf("%d reads of bodies and %d replicas: twenty puts are not one", reads.Load(), n.puts.Load())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestABadPutDoesNotFailTheNext: the one that waits for a put that fails tries with its own.
func TestABadPutDoesNotFailTheNext(t *testing.T) {
	n := cluster(t)
	d, size, body := blobOf("module")
	began, fail := make(chan struct{}), make(chan struct{})
	bad := readerFunc(func([]byte) (int, error) {
		close(began)
		<-fail
		return 0, errors.New("hung up")
	})
	s, first := n.stores["s1"], make(chan error, 1)
	go func() { first <- s.Put(t.Context(), d, size, bad) }()
	<-began
	second := make(chan error, 1)
	go func() { second <- s.Put(t.Context(), d, size, bytes.NewReader(body)) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, d, size, bytes.NewReader(body)); !errors.Is(err, context.Canceled) {
		t.Errorf("one that cannot wait: %v", err)
	}
	close(fail)
	if err := <-first; err == nil {
		t.Error("the bad put succeeded")
	}
	if err := <-second; err != nil {
		t.Errorf("the good put: %v", err)
	}
}

func TestGetFetchesVerifiesAndKeeps(t *testing.T) {
	n := cluster(t)
	n.cut["s3"] = true
	d := put(t, n.stores["s1"], "module")
	// It stands where s3 would and is not in the network: the others' retries do not reach it.
	fresh, err := Open(t.TempDir(), n.stores["s3"].c)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close() //nolint:errcheck // the test is over
	n.spoil = func(r io.ReadCloser) io.ReadCloser {
		return io.NopCloser(iotest.TimeoutReader(io.MultiReader(strings.NewReader("mxdule"), r)))
	}
	if _, _, err := fresh.Get(t.Context(), d); api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("wrong bytes from every peer: %v", err)
	}
	if left := files(t, fresh); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	n.spoil = nil
	if got := read(t, fresh, d); got != "module" || !fresh.HasLocal(d) {
		t.Errorf("got %q, kept %v", got, fresh.HasLocal(d))
	}
}

func TestGetOfWhatIsNowhere(t *testing.T) {
	n := cluster(t)
	d, _, _ := blobOf("nowhere")
	s := n.stores["s1"]
	if _, _, err := s.Get(t.Context(), d); api.KindOf(err) != api.NotFound {
		t.Errorf("got %v", err)
	}
	if ok, err := s.Has(t.Context(), d); ok || err != nil {
		t.Errorf("has: %v, %v", ok, err)
	}
	if _, _, err := s.Get(t.Context(), "sha256:x"); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if s.HasLocal("x") {
		t.Error("has what is no digest")
	}
	for i, want := range []api.Kind{api.NotFound, api.OutcomeUnknown} {
		n.mu.Lock()
		n.cut[[]api.NodeID{"s3", "s2"}[i]] = true
		n.mu.Unlock()
		if _, _, err := s.Get(t.Context(), d); api.KindOf(err) != want {
			t.Errorf("with %d schedulers silent: %v", i+1, err)
		}
		if ok, err := s.Has(t.Context(), d); ok || want == api.NotFound && err != nil || want != api.NotFound && api.KindOf(err) != want {
			t.Errorf("has, with %d schedulers silent: %v, %v", i+1, ok, err)
		}
	}
}

func TestRotIsFound(t *testing.T) {
	n := cluster(t)
	s := n.stores["s1"]
	d := put(t, s, "module")
	eventually(t, "all have it", func() bool { return n.stores["s2"].HasLocal(d) && n.stores["s3"].HasLocal(d) })
	if err := os.WriteFile(s.path(d), []byte("modulX"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Get(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if api.KindOf(err) != api.DigestMismatch || len(b) == 6 {
		t.Errorf("read %q, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, s, d); got != "module" { // fetched anew
		t.Errorf("got %q", got)
	}
}

func TestOpenCleansUp(t *testing.T) {
	s := cluster(t).stores["s1"]
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(s.dir, "tmp", fmt.Sprintf("put-%d", i)), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(s.dir, s.c)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // the test is over
	if left := files(t, again); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestSweep(t *testing.T) {
	n := cluster(t)
	s := n.stores["s1"]
	old, young, kept, again := put(t, s, "old"), put(t, s, "young"), put(t, s, "kept"), put(t, s, "again")
	past := time.Now().Add(-2 * time.Hour)
	for _, d := range []api.Digest{old, kept, again} {
		if err := os.Chtimes(s.path(d), past, past); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "again") // is young again
	if err := os.WriteFile(filepath.Join(s.dir, "sha256", "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Sweep(func(d api.Digest) bool { return d == kept }, time.Hour)
	if removed != 1 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	for d, want := range map[api.Digest]bool{old: false, young: true, kept: true, again: true} {
		if s.HasLocal(d) != want {
			t.Errorf("%s: has %v, want %v", d, s.HasLocal(d), want)
		}
	}
}

// TestBodiesAreStreamed: no read asks for more than a buffer, whatever the size.
func TestBodiesAreStreamed(t *testing.T) {
	s := cluster(t).stores["s1"]
	body := bytes.Repeat([]byte("z"), 1<<20)
	d, most := api.DigestOf(sha256.Sum256(body)), 0
	r := bytes.NewReader(body)
	spy := readerFunc(func(p []byte) (int, error) {
		most = max(most, len(p))
		return r.Read(p)
	})
	if err := s.PutLocal(t.Context(), d, int64(len(body)), spy); err != nil {
		t.Fatal(err)
	}
	if most > 64<<10 {
		t.Errorf("a read of %d bytes", most)
	}
}

func TestTooManyPuts(t *testing.T) {
	s := cluster(t).stores["s1"]
	for range maxPuts {
		s.slots <- struct{}{}
	}
	d, size, body := blobOf("module")
	if err := s.PutLocal(t.Context(), d, size, bytes.NewReader(body)); api.KindOf(err) != api.Overloaded {
		t.Errorf("got %v", err)
	}
}

func TestVerifiedReader(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "bytes")
		flip := rapid.IntRange(-1, len(b)-1).Draw(rt, "flip")
		d := api.DigestOf(sha256.Sum256(b))
		sent := bytes.Clone(b)
		if flip >= 0 {
			sent[flip] ^= 1
		}
		told := 0
		var src io.Reader = bytes.NewReader(sent)
		if rapid.Bool().Draw(rt, "one by one") {
			src = iotest.OneByteReader(src)
		}
		got, err := io.ReadAll(newVerified(io.NopCloser(src), d, int64(len(b)), func() { told++ }))
		if flip < 0 && (err != nil || !bytes.Equal(got, b) || told != 0) {
			rt.Fatalf("right bytes: %d, %v", len(got), err)
		}
		if flip >= 0 && (api.KindOf(err) != api.DigestMismatch || len(got) == len(b) || told != 1) {
			rt.Fatalf("wrong bytes: %d of %d, %v, told %d times", len(got), len(b), err, told)
		}
	})
}
