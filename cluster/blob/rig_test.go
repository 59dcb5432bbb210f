package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

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
