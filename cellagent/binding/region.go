package binding

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// region is memory outside of Go's heap: what was written is gone from it with destroy, and not a
// garbage collection later.
type region struct {
	pool  *pool
	small bool // its memory comes from the pool, and goes back there

	mu      sync.RWMutex // one write is seen whole or not at all
	mem     []byte
	written int // no byte behind it was ever written
}

// openRegion finds size bytes of zeroed memory.
func openRegion(p *pool, size int64) (*region, error) {
	if int64(int(size)) != size {
		return nil, fmt.Errorf("map %d bytes: more than an address", size)
	}
	length := pooled(size)
	if length == 0 {
		mem, err := mapMemory(int(size))
		return &region{pool: p, mem: mem}, err
	}
	if mem := p.take(length); mem != nil {
		return &region{pool: p, small: true, mem: mem}, nil
	}
	mem, err := mapMemory(length)
	return &region{pool: p, small: true, mem: mem}, err
}

func mapMemory(length int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", length, err)
	}
	// A region holds a tenant's data: it stays out of core dumps where the kernel lets it.
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP)
	return mem, nil
}

// unmapAll gives memory back that nobody uses.
func unmapAll(all [][]byte) error {
	var errs []error
	for _, mem := range all {
		if err := unix.Munmap(mem); err != nil {
			errs = append(errs, fmt.Errorf("unmap region: %w", err))
		}
	}
	return errors.Join(errs...)
}

// readAt and writeAt are called inside the gate and within bounds.
func (r *region) readAt(p []byte, off int64) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	copy(p, r.mem[off:])
	return nil
}

func (r *region) writeAt(p []byte, off int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = max(r.written, int(off)+copy(r.mem[off:], p))
	return nil
}

// prompt is for small ones: wiping them is no wait.
func (r *region) prompt() bool { return r.small }

// destroy wipes and keeps, or unmaps, the region; nobody is inside. A second call does nothing.
func (r *region) destroy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem == nil {
		return nil
	}
	if r.small {
		clear(r.mem[:r.written])
		r.written = 0
		if r.pool.give(r.mem) {
			r.mem = nil
			return nil
		}
	}
	if err := unix.Munmap(r.mem); err != nil {
		return fmt.Errorf("unmap region: %w", err)
	}
	r.mem = nil
	return nil
}
