package tasklet

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memoryLimit gives one guest its linear memory, outside of Go's heap: a run's pages go back
// to the host when the run ends, and growing copies nothing.
type memoryLimit struct {
	bytes uint64
	// refused says that the guest asked for more than it may have.
	refused bool
}

// Allocate reserves address space for all that the guest may ever have.
func (m *memoryLimit) Allocate(_, most uint64) experimental.LinearMemory {
	return &linearMemory{owner: m, most: min(most, m.bytes)}
}

// linearMemory is one reservation, of which a growing beginning is usable.
type linearMemory struct {
	owner *memoryLimit
	most  uint64
	space []byte
	used  uint64
}

// Reallocate makes the first size bytes usable. It returns nil, which the guest sees as a
// failed memory.grow, beyond the limit or when the host has no more to give.
func (l *linearMemory) Reallocate(size uint64) []byte {
	if size > l.most || !l.reserve() {
		l.owner.refused = true
		return nil
	}
	if size > l.used {
		if err := unix.Mprotect(l.space[:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			l.owner.refused = true
			return nil
		}
		l.used = size
	}
	return l.space[:size:size]
}

func (l *linearMemory) reserve() bool {
	if l.space != nil {
		return true
	}
	space, err := unix.Mmap(-1, 0, int(max(l.most, wasmPage)), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return false
	}
	l.space = space
	return true
}

// Free gives everything back. The guest has ended.
func (l *linearMemory) Free() {
	if l.space != nil {
		// It can only fail for a range that is not mapped, and this one is.
		_ = unix.Munmap(l.space)
		l.space, l.used = nil, 0
	}
}
