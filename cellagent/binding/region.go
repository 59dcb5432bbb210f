package binding

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// region is memory outside of Go's heap: it exists from openRegion to destroy, and not a
// garbage collection longer.
type region struct {
	mu  sync.RWMutex // one write is seen whole or not at all
	mem []byte
}

// openRegion maps size bytes of zeroed memory.
func openRegion(size int64) (*region, error) {
	if int64(int(size)) != size {
		return nil, fmt.Errorf("map %d bytes: more than an address", size)
	}
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	// A region holds a tenant's data: it stays out of core dumps where the kernel lets it.
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP)
	return &region{mem: mem}, nil
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
	copy(r.mem[off:], p)
	return nil
}

// destroy unmaps the region; nobody is inside. A second call does nothing.
func (r *region) destroy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem == nil {
		return nil
	}
	if err := unix.Munmap(r.mem); err != nil {
		return fmt.Errorf("unmap region: %w", err)
	}
	r.mem = nil
	return nil
}
