package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
)

// PutLocal stores size bytes of r under their digest on this scheduler and returns when they
// are on disk. A blob that is there is not read again. Refusals: too_large, digest_mismatch
// for other bytes, invalid_argument for a body that is shorter or longer than size,
// overloaded when the disk is full or too many bodies come at once. None leaves anything.
func (s *Store) PutLocal(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if err := s.checkPut(d, size); err != nil {
		return err
	}
	return s.fly(ctx, flightKey{d, flyLocal}, func(ctx context.Context) error { return s.keep(ctx, d, size, r) })
}

func (s *Store) checkPut(d api.Digest, size int64) error {
	if err := api.CheckDigest(d); err != nil {
		return err
	}
	if size < 0 {
		return api.Refuse(api.InvalidArgument, "a blob of %d bytes: say how many there are", size)
	}
	if size > s.c.MaxBytes {
		return api.Refuse(api.TooLarge, "a blob of %d bytes: at most %d are kept", size, s.c.MaxBytes)
	}
	return nil
}

// keep writes the blob unless it is here.
func (s *Store) keep(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if s.touch(d) {
		return nil
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return api.Refuse(api.Overloaded, "%d blobs are being written", maxPuts)
	}
	tmp, err := s.write(ctx, d, size, r)
	if err != nil {
		return err
	}
	if err := s.moveIn(tmp, d); err != nil {
		return errors.Join(diskError(err), os.Remove(tmp))
	}
	return nil
}

// touch reports whether the blob is here, and makes it young: Sweep leaves it for another while.
func (s *Store) touch(d api.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return os.Chtimes(s.path(d), now, now) == nil
}

// write writes the body to a temporary file, verified and synced, and returns its path.
func (s *Store) write(ctx context.Context, d api.Digest, size int64, r io.Reader) (path string, err error) {
	f, err := s.disk.create(filepath.Join(s.dir, "tmp"))
	if err != nil {
		return "", diskError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := copyBody(ctx, f, d, size, r); err != nil {
		f.Close() //nolint:errcheck // the file is removed
		return "", err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return "", diskError(err)
	}
	return f.Name(), nil
}

// copyBody copies exactly size bytes and checks their digest.
func copyBody(ctx context.Context, w io.Writer, d api.Digest, size int64, r io.Reader) error {
	sum := sha256.New()
	out := &fullWriter{w: w}
	n, err := io.CopyBuffer(io.MultiWriter(out, sum), io.LimitReader(ctxReader{ctx, r}, size+1), make([]byte, 64<<10))
	switch {
	case out.err != nil:
		return diskError(out.err)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("read blob body: %w", context.Cause(ctx))
	case n > size:
		return api.Refuse(api.InvalidArgument, "the body is longer than the %d bytes that were announced", size)
	case err == nil && n < size, errors.Is(err, io.ErrUnexpectedEOF):
		return api.Refuse(api.InvalidArgument, "the body ended after %d of %d bytes", n, size)
	case err != nil:
		return fmt.Errorf("read blob body: %w", err)
	}
	if got := api.DigestOf([32]byte(sum.Sum(nil))); got != d {
		return api.Refuse(api.DigestMismatch, "the body is of digest %s, %s was announced", got, d)
	}
	return nil
}

// moveIn gives a finished file its name and makes that durable.
func (s *Store) moveIn(tmp string, d api.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.path(d)
	dir := filepath.Dir(path)
	switch err := os.Mkdir(dir, dirMode); {
	case err == nil:
		if err := s.disk.syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist):
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if err := s.disk.syncDir(dir); err != nil {
		return errors.Join(err, os.Rename(path, tmp))
	}
	return nil
}

// ctxReader fails its next read when ctx has ended.
type ctxReader struct {
	ctx context.Context //nolint:containedctx // lives as long as the one call that reads
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// fullWriter remembers that it was the writing that failed, not the reading.
type fullWriter struct {
	w   io.Writer
	err error
}

func (f *fullWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}
