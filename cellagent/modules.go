package cellagent

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/grafos/grafos/api"
)

// The directories below the agent's own. Modules and compiled code outlive an agent; both are
// checked before they are used.
const (
	dirBindings = "bindings"
	dirLedger   = "ledger"
	dirTemp     = "tmp"
	dirModules  = "modules"
	dirCompiled = "compiled"
)

// modulesMost bounds the bytes of the modules that are kept.
const modulesMost = 4 << 30

// modules keeps module files by their digest, the least recently used of those that no run
// needs going first when they are more than most bytes. A file of an earlier agent is taken
// over only after its bytes were hashed again.
type modules struct {
	dir  string
	most int64

	mu    sync.Mutex
	turn  uint64
	bytes int64
	files map[api.Digest]*moduleFile
	// old are the files of earlier agents that nobody has asked for yet, and their sizes.
	old map[api.Digest]int64
}

// moduleFile is one module, on disk or on its way there.
type moduleFile struct {
	size  int64
	users int
	used  uint64
	// ready is closed when the file is there, or when getting it failed and the entry is gone.
	ready chan struct{}
	err   error
}

// openModules opens the directory and removes what is not whole.
func openModules(dir string, most int64) (*modules, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make module directory: %w", err)
	}
	old, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read module directory: %w", err)
	}
	m := &modules{dir: dir, most: most, files: make(map[api.Digest]*moduleFile), old: make(map[api.Digest]int64)}
	for _, f := range old {
		d := digestOfName(f.Name())
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() && api.CheckDigest(d) == nil {
			m.old[d] = info.Size()
			m.bytes += info.Size()
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, f.Name())); err != nil {
			return nil, fmt.Errorf("remove unfinished module: %w", err)
		}
	}
	m.evict()
	return m, nil
}

func digestOfName(name string) api.Digest { return api.Digest("sha256:" + name) }

func (m *modules) path(d api.Digest) string {
	return filepath.Join(m.dir, strings.TrimPrefix(string(d), "sha256:"))
}

// get returns the path of a module, which stays there until release is called. What is not
// there is fetched, once for all who ask; fetch writes bytes that it has verified.
func (m *modules) get(ctx context.Context, d api.Digest, fetch func(context.Context, io.Writer) error) (string, func(), error) {
	if err := api.CheckDigest(d); err != nil {
		return "", nil, err
	}
	for {
		f, mine := m.enter(d)
		if mine {
			size, err := m.fill(ctx, d, fetch)
			m.filled(d, f, size, err)
		} else {
			select {
			case <-f.ready:
			case <-ctx.Done():
				m.leave(f)
				return "", nil, context.Cause(ctx)
			}
		}
		if f.err == nil {
			return m.path(d), func() { m.leave(f) }, nil
		}
		if mine {
			return "", nil, f.err
		}
		// Whoever fetched it gave up, perhaps because its run was stopped: it is our turn.
	}
}

// enter takes part in a module; mine is whether the caller has to get it.
func (m *modules) enter(d api.Digest) (f *moduleFile, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn++
	f, ok := m.files[d]
	if !ok {
		f = &moduleFile{ready: make(chan struct{})}
		m.files[d] = f
		m.bytes -= m.old[d] // counted again when it is known to be whole
		delete(m.old, d)
	}
	f.users++
	f.used = m.turn
	return f, !ok
}

// leave gives a module up.
func (m *modules) leave(f *moduleFile) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.users--
	m.evict()
}

// filled tells those who wait how getting a module went.
func (m *modules) filled(d api.Digest, f *moduleFile, size int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.size, f.err = size, err
	m.bytes += size
	if err != nil {
		delete(m.files, d)
	}
	close(f.ready)
	m.evict()
}

// evict removes the least recently used files that nobody needs.
func (m *modules) evict() {
	for d, size := range m.old { // in no order: nothing is known of their use
		if m.bytes <= m.most || os.Remove(m.path(d)) != nil {
			break
		}
		m.bytes -= size
		delete(m.old, d)
	}
	for m.bytes > m.most {
		var oldest api.Digest
		for d, f := range m.files {
			if f.users == 0 && f.err == nil && f.size > 0 && (oldest == "" || f.used < m.files[oldest].used) {
				oldest = d
			}
		}
		if oldest == "" || os.Remove(m.path(oldest)) != nil {
			return
		}
		m.bytes -= m.files[oldest].size
		delete(m.files, oldest)
	}
}

// fill makes sure that the file is there, and returns its size.
func (m *modules) fill(ctx context.Context, d api.Digest, fetch func(context.Context, io.Writer) error) (int64, error) {
	if size, ok := m.verified(d); ok {
		return size, nil
	}
	tmp, err := os.CreateTemp(m.dir, "fetch-*")
	if err != nil {
		return 0, fmt.Errorf("make module file: %w", err)
	}
	size, err := fillFile(ctx, tmp, fetch)
	if err == nil {
		err = os.Rename(tmp.Name(), m.path(d))
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // it is removed at the next start otherwise
		return 0, err
	}
	return size, nil
}

// verified returns the size of a file that an earlier agent left, if its bytes are right.
func (m *modules) verified(d api.Digest) (int64, bool) {
	f, err := os.Open(m.path(d))
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // read only
	s := newSum()
	size, err := io.Copy(s, f)
	return size, err == nil && s.digest() == d
}

// moduleWriter lets a fetch that is repeated begin anew.
type moduleWriter struct {
	file *os.File
	err  error
}

// Write writes to the file, unless beginning anew failed.
func (w *moduleWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.file.Write(p)
}

// Reset empties the file.
func (w *moduleWriter) Reset() {
	if w.err = w.file.Truncate(0); w.err == nil {
		_, w.err = w.file.Seek(0, io.SeekStart)
	}
}

func fillFile(ctx context.Context, file *os.File, fetch func(context.Context, io.Writer) error) (int64, error) {
	err := fetch(ctx, &moduleWriter{file: file})
	info, statErr := file.Stat()
	closeErr := file.Close()
	for _, e := range []error{err, statErr, closeErr} {
		if e != nil {
			return 0, fmt.Errorf("fetch module: %w", e)
		}
	}
	return info.Size(), nil
}
