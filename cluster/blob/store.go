package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// Bounds and defaults.
const (
	// DefaultReplicaTime is how long one replica may take where Config does not say.
	DefaultReplicaTime = time.Minute
	// maxPuts bounds the bodies that are written at one time.
	maxPuts = 64
	dirMode = 0o700
	// prefix of every digest; the rest of it names the file.
	digestPrefix = "sha256:"
)

// Peers are the other schedulers. Its methods are called from many goroutines at once.
type Peers interface {
	// Others returns the live schedulers, this one left out.
	Others() []api.NodeID
	// PutReplica returns when node has the blob on disk. It reads r only where node lacks it.
	PutReplica(ctx context.Context, node api.NodeID, d api.Digest, size int64, r io.Reader) error
	// GetReplica opens node's copy; not_found where it has none. The caller closes it.
	GetReplica(ctx context.Context, node api.NodeID, d api.Digest) (io.ReadCloser, int64, error)
}

// Config is what a store needs.
type Config struct {
	Peers Peers
	// Quorum returns how many schedulers, this one included, must have a blob on disk.
	Quorum func() int
	// MaxBytes bounds one blob; 0 is api.MaxModuleBytes.
	MaxBytes int64
	// ReplicaTime bounds the copying of one blob to or from one scheduler; 0 is
	// DefaultReplicaTime. What a put leaves behind when it has its quorum ends by then.
	ReplicaTime time.Duration
	Log         hclog.Logger
}

// Store keeps blobs in one directory.
type Store struct {
	dir   string
	c     Config
	disk  disk
	slots chan struct{} // one for each body that is being written

	run  context.Context //nolint:containedctx // of what outlives the call that began it; ended by Close
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	mu      sync.Mutex            // also held while a blob is touched, moved in or removed
	flights map[flightKey]*flight // guarded by mu
	closed  bool                  // guarded by mu
}

// errClosed ends what runs when the store is closed.
func errClosed() error { return api.Refuse(api.OutcomeUnknown, "the scheduler is stopping") }

// Open opens the store in dir, or begins there, and removes what was never finished.
func Open(dir string, c Config) (*Store, error) {
	if c.MaxBytes == 0 {
		c.MaxBytes = api.MaxModuleBytes
	}
	if c.ReplicaTime == 0 {
		c.ReplicaTime = DefaultReplicaTime
	}
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	for _, sub := range []string{"tmp", "sha256"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), dirMode); err != nil {
			return nil, fmt.Errorf("open blobs: %w", err)
		}
	}
	run, stop := context.WithCancelCause(context.Background())
	return &Store{
		dir: dir, c: c, disk: osDisk{}, slots: make(chan struct{}, maxPuts),
		run: run, stop: stop, flights: map[flightKey]*flight{},
	}, nil
}

// Close ends the copying that puts left behind and waits for it. Files that were opened for
// reading stay readable. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop(errClosed())
	s.wg.Wait()
	return nil
}

// begin adds a goroutine to those that Close waits for; false when the store is closed.
func (s *Store) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// path returns where a blob is, or will be: the digest must have been checked.
func (s *Store) path(d api.Digest) string {
	name := strings.TrimPrefix(string(d), digestPrefix)
	return filepath.Join(s.dir, "sha256", name[:2], name)
}

// HasLocal reports whether this scheduler has the blob.
func (s *Store) HasLocal(d api.Digest) bool {
	if api.CheckDigest(d) != nil {
		return false
	}
	info, err := os.Stat(s.path(d))
	return err == nil && info.Mode().IsRegular()
}

// GetLocal opens this scheduler's copy; not_found when it has none. Bytes that rotted on the
// disk end in digest_mismatch at the last one, and the copy is removed, to be fetched anew.
func (s *Store) GetLocal(d api.Digest) (io.ReadCloser, int64, error) {
	if err := api.CheckDigest(d); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, api.Refuse(api.NotFound, "blob %s is not on this scheduler", d)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open blob: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open blob: %w", err), f.Close())
	}
	return newVerified(f, d, info.Size(), func() { s.discard(d) }), info.Size(), nil
}

// discard removes a copy that is not what its name says.
func (s *Store) discard(d api.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c.Log.Error("blob is corrupt and removed", "digest", d)
	if err := os.Remove(s.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.c.Log.Error("corrupt blob not removed", "digest", d, "error", err)
	}
}
