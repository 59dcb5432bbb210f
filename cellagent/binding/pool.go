package binding

import (
	"os"
	"sync"
)

const (
	// pooledMost is the largest region that is kept for the next lease; a larger one goes back
	// to the kernel, which takes a while then.
	pooledMost = 64 << 10
	// poolBytes bounds what is kept.
	poolBytes = 4 << 20
)

// pool keeps the memory of small regions that have ended for those that begin: mapping and unmapping
// costs more than everything else about such a lease. What is in it is zero.
type pool struct {
	mu    sync.Mutex
	free  map[int][][]byte // by length, guarded by mu
	bytes int              // guarded by mu
}

// pooled returns how long the memory of a region is that is kept, 0 for one that is not.
func pooled(size int64) int {
	if size > pooledMost {
		return 0
	}
	page := os.Getpagesize()
	return (int(size) + page - 1) / page * page
}

// take returns memory of that length, nil where none is kept.
func (p *pool) take(length int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.free[length]
	if len(list) == 0 {
		return nil
	}
	mem := list[len(list)-1]
	p.free[length] = list[:len(list)-1]
	p.bytes -= length
	return mem
}

// give keeps memory that is zero; false is that there is enough.
func (p *pool) give(mem []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+len(mem) > poolBytes {
		return false
	}
	if p.free == nil {
		p.free = map[int][][]byte{}
	}
	p.free[len(mem)] = append(p.free[len(mem)], mem)
	p.bytes += len(mem)
	return true
}

// drain returns all that is kept; nothing is kept after it.
func (p *pool) drain() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all [][]byte
	for _, list := range p.free {
		all = append(all, list...)
	}
	p.free, p.bytes = nil, poolBytes
	return all
}
