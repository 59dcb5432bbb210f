package cow

import "sync/atomic"

// Sizes of an index.
const (
	indexShards = 256 // each grows by itself, so that none of it takes long
	indexLeast  = 8   // slots of a shard
	// heldBack is how many numbers stay in an index after they were removed: views that are
	// younger than that find what they hold.
	heldBack = 1 << 16
)

// Index finds numbers by a hash. It is one for all versions of what the numbers name: whoever
// finds one asks its own version whether it is the right one, which says no to what came later.
// So to add a number copies nothing, and the garbage collector sees no pointer.
//
// One goroutine writes, anybody reads meanwhile. What is removed stays to be found for a while, for
// those who read an older version; Cleared says from which version on nothing is missing.
type Index struct {
	shards  [indexShards]shard
	cleared atomic.Uint64
	// Of the writer: what is removed and still to be found, oldest first, behind gone.
	removed []removal
	gone    int
}

type removal struct{ hash, ref, at uint64 }

// shard is an open table: a number stands in the first free slot from its hash on.
type shard struct {
	slots atomic.Pointer[[]slot]
	used  int // of the writer: slots that are not free, or were not once
	n     int // of the writer: numbers
}

// slot is written from ref to hash and read from hash to ref: a number that does not belong to
// the hash is one that the reader's version does not take for its own.
type slot struct{ hash, ref atomic.Uint64 }

// What a slot has in place of a hash.
const (
	slotFree uint64 = iota
	slotRemoved
	slotHashes
)

// Find returns the number with a hash that is the right one.
func (x *Index) Find(sum uint64, is func(ref uint64) bool) (ref uint64, ok bool) {
	sum = slotHash(sum)
	slots := x.shards[sum>>56].slots.Load()
	if slots == nil {
		return 0, false
	}
	last := uint64(len(*slots) - 1)
	for i := sum & last; ; i = (i + 1) & last {
		s := &(*slots)[i]
		switch s.hash.Load() {
		case slotFree:
			return 0, false
		case sum:
			if ref := s.ref.Load(); is(ref) {
				return ref, true
			}
		}
	}
}

// Touch brings what Find will look at near, for whoever looks for many: their ways to memory are
// gone together, and not one after the other.
func (x *Index) Touch(sum uint64) { x.touch(slotHash(sum)) }

func (x *Index) touch(sum uint64) {
	if slots := x.shards[sum>>56].slots.Load(); slots != nil {
		(*slots)[sum&uint64(len(*slots)-1)].hash.Load()
	}
}

// slotHash keeps hashes apart from what stands in their place.
func slotHash(sum uint64) uint64 {
	if sum < slotHashes {
		sum += slotHashes
	}
	return sum
}

// Cleared returns the version from which on Find finds all that is there: in an older one
// what it does not find may have been removed since. It is asked after Find.
func (x *Index) Cleared() uint64 { return x.cleared.Load() }

// Add adds a number, which is not there yet.
func (x *Index) Add(sum, ref uint64) {
	sum = slotHash(sum)
	s := &x.shards[sum>>56]
	slots := s.slots.Load()
	if slots == nil || (s.used+1)*8 > len(*slots)*5 {
		slots = s.grow()
	}
	if put(*slots, sum, ref) {
		s.used++
	}
	s.n++
}

// put writes a number into the first slot that has none; true when that was never used.
func put(slots []slot, sum, ref uint64) bool {
	last := uint64(len(slots) - 1)
	for i := sum & last; ; i = (i + 1) & last {
		s := &slots[i]
		if was := s.hash.Load(); was < slotHashes {
			s.ref.Store(ref)
			s.hash.Store(sum)
			return was == slotFree
		}
	}
}

// grow moves the numbers to a new table. Who reads the old one finds there what there was.
func (s *shard) grow() *[]slot {
	size := indexLeast
	for size < 2*(s.n+1) {
		size *= 2
	}
	slots := make([]slot, size)
	if old := s.slots.Load(); old != nil {
		for i := range *old {
			if sum := (*old)[i].hash.Load(); sum >= slotHashes {
				put(slots, sum, (*old)[i].ref.Load())
			}
		}
	}
	s.used = s.n
	s.slots.Store(&slots)
	return &slots
}

// Remove removes a number from version at on. It is to be found until many others were removed.
func (x *Index) Remove(at, sum, ref uint64) {
	x.removed = append(x.removed, removal{slotHash(sum), ref, at})
	if len(x.removed)-x.gone <= heldBack {
		return
	}
	r := x.removed[x.gone]
	x.gone++
	x.cleared.Store(r.at)
	x.shards[r.hash>>56].clear(r.hash, r.ref)
	if x.gone >= heldBack {
		x.removed = append(x.removed[:0], x.removed[x.gone:]...)
		x.gone = 0
	}
}

// Ahead brings near what the next n calls of Remove will empty, as Touch does for Find.
func (x *Index) Ahead(n int) {
	for i := x.gone; i < min(x.gone+n, len(x.removed)); i++ {
		x.touch(x.removed[i].hash)
	}
}

// clear empties the slot of a number.
func (s *shard) clear(sum, ref uint64) {
	slots := s.slots.Load()
	if slots == nil {
		return
	}
	last := uint64(len(*slots) - 1)
	for i := sum & last; ; i = (i + 1) & last {
		at := &(*slots)[i]
		switch at.hash.Load() {
		case slotFree:
			return
		case sum:
			if at.ref.Load() == ref {
				at.hash.Store(slotRemoved)
				s.n--
				return
			}
		}
	}
}
