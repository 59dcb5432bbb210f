package blob

import (
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
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// Peers reaches the other schedulers' stores.
type Peers interface {
	// Others lists the live schedulers without this one.
	Others() []api.NodeID
	PutReplica(ctx context.Context, n api.NodeID, d api.Digest, size int64, r io.Reader) error
	GetReplica(ctx context.Context, n api.NodeID, d api.Digest) (io.ReadCloser, int64, error)
}

// Config is what a store needs.
type Config struct {
	Peers Peers
	// Quorum is how many schedulers must have a blob before a put is answered.
	Quorum func() int
	// MaxBytes bounds one blob; 0 is api.MaxModuleBytes.
	MaxBytes int64
	Log      hclog.Logger
}

// Store is one node's blobs.
type Store struct {
	dir    string
	cfg    Config
	ctx    context.Context //nolint:containedctx // the store's own life: Close cancels it
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	fetches map[api.Digest]*flight // guarded by mu: downloads under way
}

// flight is a download that several readers wait for.
type flight struct {
	done chan struct{}
	err  error
}

const tempPrefix = "put-"

// Open opens the store in dir and removes what a crash left half written.
func Open(dir string, c Config) (*Store, error) {
	if c.MaxBytes == 0 {
		c.MaxBytes = api.MaxModuleBytes
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make blob directory: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("look for half-written blobs: %w", err)
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("remove half-written blob: %w", err)
		}
	}
	s := &Store{dir: dir, cfg: c, fetches: map[api.Digest]*flight{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close ends the copies under way and waits for them.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	return nil
}

func (s *Store) path(d api.Digest) string {
	return filepath.Join(s.dir, strings.TrimPrefix(string(d), "sha256:"))
}

// HasLocal reports whether this node has the blob.
func (s *Store) HasLocal(d api.Digest) bool {
	_, err := os.Stat(s.path(d))
	return err == nil
}

// GetLocal opens this node's copy; without one it refuses with not_found.
func (s *Store) GetLocal(d api.Digest) (io.ReadCloser, int64, error) {
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
	return f, info.Size(), nil
}

// PutLocal stores the blob on this node. Other bytes than d names are refused with
// digest_mismatch, other lengths than size too.
func (s *Store) PutLocal(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if err := api.CheckDigest(d); err != nil {
		return err
	}
	if size < 0 || size > s.cfg.MaxBytes {
		return api.Refuse(api.TooLarge, "the blob has %d bytes: at most %d", size, s.cfg.MaxBytes)
	}
	if info, err := os.Stat(s.path(d)); err == nil && info.Size() == size {
		now := time.Now()
		return os.Chtimes(s.path(d), now, now) // it is wanted again: the sweep starts anew
	}
	f, err := os.CreateTemp(s.dir, tempPrefix)
	if err != nil {
		return diskError(err)
	}
	err = fill(ctx, f, d, size, r)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(d))
	}
	if err != nil {
		return diskError(errors.Join(err, os.Remove(f.Name())))
	}
	return s.syncDir()
}

// fill writes exactly size bytes of r into f, checks that they are what d names, and makes
// them durable.
func fill(ctx context.Context, f *os.File, d api.Digest, size int64, r io.Reader) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(&reader{ctx, r}, size+1))
	switch {
	case err != nil:
		return err
	case n != size:
		return api.Refuse(api.DigestMismatch, "the body of blob %s does not have the %d bytes that were announced", d, size)
	}
	if got := api.DigestOf([32]byte(h.Sum(nil))); got != d {
		return api.Refuse(api.DigestMismatch, "the body is %s, not %s", got, d).WithHint("send the bytes whose SHA-256 is the address")
	}
	return f.Sync()
}

// reader ends with its context.
type reader struct {
	ctx context.Context //nolint:containedctx // of the one copy that it serves
	r   io.Reader
}

// Read reads unless the context has ended.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// diskError makes a full disk a typed refusal.
func diskError(err error) error {
	if _, ok := api.AsError(err); ok {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e := api.Refuse(api.Overloaded, "the disk of this scheduler is full").WithHint("free space on the schedulers' disks")
		e.RetryAfterMs = 5000
		return e
	}
	return fmt.Errorf("store blob: %w", err)
}

func (s *Store) syncDir() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("open blob directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sweep removes the blobs that keep does not name and that were last put longer than
// olderThan ago; it returns how many.
func (s *Store) Sweep(keep func(api.Digest) bool, olderThan time.Duration) (int, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("list blobs: %w", err)
	}
	gone, limit := 0, time.Now().Add(-olderThan)
	for _, e := range entries {
		d := api.Digest("sha256:" + e.Name())
		if api.CheckDigest(d) != nil || keep(d) {
			continue
		}
		info, err := e.Info()
		if err != nil || info.ModTime().After(limit) {
			continue
		}
		if err := os.Remove(s.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, fmt.Errorf("remove blob: %w", err)
		}
		gone++
	}
	return gone, nil
}
