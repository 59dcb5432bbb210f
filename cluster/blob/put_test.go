package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

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
