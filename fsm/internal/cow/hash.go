package cow

// Sizes of the nodes of a hash map.
const (
	hashBits  = 3 // of a hash, used by one branch
	hashWidth = 1 << hashBits
	bucketMax = 8
	// hashDepth is how many branches a hash can go through.
	hashDepth = 30 / hashBits
)

// Hash is a hash map without an order: values are found by a hash and by what the caller
// knows of them. The zero map is empty. A copy of the struct is a copy of the map.
type Hash[V any] struct {
	root slot[V]
	n    int
}

// slot is a branch or a bucket, or neither.
type slot[V any] struct {
	branch *hashBranch[V]
	bucket *bucket[V]
}

type hashBranch[V any] struct {
	edit  Edit
	slots [hashWidth]slot[V]
}

// bucket holds a few values beside their hashes. At the greatest depth it holds however many
// there are of one hash, those that do not fit in over.
type bucket[V any] struct {
	edit   Edit
	n      int
	hashes [bucketMax]uint32
	vals   [bucketMax]V
	over   []V
}

// Len returns how many values there are.
func (h *Hash[V]) Len() int { return h.n }

// fold makes the hash that is kept of one: the bits that hashDepth branches use.
func fold(sum uint64) uint32 { return uint32(sum^sum>>32) & (1<<(hashDepth*hashBits) - 1) }

// Get returns the value with a hash that is the right one.
func (h *Hash[V]) Get(sum uint64, is func(V) bool) (v V, ok bool) {
	hash := fold(sum)
	s := h.root
	for rest := hash; s.branch != nil; rest >>= hashBits {
		s = s.branch.slots[rest%hashWidth]
	}
	if s.bucket == nil {
		return v, false
	}
	switch at := s.bucket.find(hash, is); {
	case at < 0:
		return v, false
	case at < bucketMax:
		return s.bucket.vals[at], true
	default:
		return s.bucket.over[at-bucketMax], true
	}
}

// Set stores a value in place of the one that is the right one, if there is one.
func (h *Hash[V]) Set(e Edit, sum uint64, v V, is func(V) bool) {
	hash := fold(sum)
	s := &h.root
	rest, depth := hash, 0
	for ; s.branch != nil; depth++ {
		s.branch = s.branch.own(e)
		s = &s.branch.slots[rest%hashWidth]
		rest >>= hashBits
	}
	if s.bucket == nil {
		s.bucket = &bucket[V]{edit: e}
	}
	b := s.bucket.own(e)
	s.bucket = b
	switch at := b.find(hash, is); {
	case at >= bucketMax:
		b.over[at-bucketMax] = v
		return
	case at >= 0:
		b.vals[at] = v
		return
	}
	h.n++
	for b.n == bucketMax && depth < hashDepth {
		s.branch = b.spread(e, depth)
		s.bucket = nil
		s = &s.branch.slots[rest%hashWidth]
		rest >>= hashBits
		depth++
		if s.bucket == nil {
			s.bucket = &bucket[V]{edit: e}
		}
		b = s.bucket
	}
	b.add(hash, v)
}

func (b *bucket[V]) add(hash uint32, v V) {
	if b.n == bucketMax {
		b.over = append(b.over, v)
		return
	}
	b.hashes[b.n], b.vals[b.n] = hash, v
	b.n++
}

// spread makes a branch of a full bucket that lies depth branches deep.
func (b *bucket[V]) spread(e Edit, depth int) *hashBranch[V] {
	br := &hashBranch[V]{edit: e}
	for i := range b.n {
		s := &br.slots[b.hashes[i]>>(depth*hashBits)%hashWidth]
		if s.bucket == nil {
			s.bucket = &bucket[V]{edit: e}
		}
		s.bucket.add(b.hashes[i], b.vals[i])
	}
	return br
}

// Delete removes the value that is the right one. One that is not there copies nothing.
func (h *Hash[V]) Delete(e Edit, sum uint64, is func(V) bool) (old V, had bool) {
	hash := fold(sum)
	root, old, had := h.root.delete(e, hash, hash, is)
	if had {
		h.root = root
		h.n--
	}
	return old, had
}

// delete returns s without the value; s itself when it is not there.
func (s slot[V]) delete(e Edit, hash, rest uint32, is func(V) bool) (own slot[V], old V, had bool) {
	switch {
	case s.branch != nil:
		at := rest % hashWidth
		down, old, had := s.branch.slots[at].delete(e, hash, rest>>hashBits, is)
		if !had {
			return s, old, false
		}
		br := s.branch.own(e)
		br.slots[at] = down
		return br.settle(e), old, true
	case s.bucket == nil:
		return s, old, false
	}
	at := s.bucket.find(hash, is)
	if at < 0 {
		return s, old, false
	}
	if s.bucket.n == 1 && len(s.bucket.over) == 0 {
		return slot[V]{}, s.bucket.vals[0], true
	}
	b := s.bucket.own(e)
	return slot[V]{bucket: b}, b.remove(at), true
}

// find returns where a value is, counting on behind vals into over; -1 when it is not there.
func (b *bucket[V]) find(hash uint32, is func(V) bool) int {
	for i := range b.n {
		if b.hashes[i] == hash && is(b.vals[i]) {
			return i
		}
	}
	for i, v := range b.over {
		if is(v) {
			return bucketMax + i
		}
	}
	return -1
}

// remove takes out what find found. All values of a bucket with over have one hash.
func (b *bucket[V]) remove(at int) (old V) {
	var none V
	if n := len(b.over) - 1; n >= 0 {
		last := b.over[n]
		b.over[n] = none
		b.over = b.over[:n]
		switch {
		case at < bucketMax:
			old, b.vals[at] = b.vals[at], last
		case at < bucketMax+n:
			old, b.over[at-bucketMax] = b.over[at-bucketMax], last
		default:
			old = last
		}
		return old
	}
	b.n--
	old = b.vals[at]
	b.hashes[at], b.vals[at] = b.hashes[b.n], b.vals[b.n]
	b.vals[b.n] = none
	return old
}

// settle makes one bucket of a branch whose buckets hold little, and nothing of an empty one.
func (br *hashBranch[V]) settle(e Edit) slot[V] {
	n := 0
	for _, s := range br.slots {
		if s.branch != nil {
			return slot[V]{branch: br}
		}
		if s.bucket != nil {
			n += s.bucket.n + len(s.bucket.over)
		}
	}
	if n > bucketMax/2 {
		return slot[V]{branch: br}
	}
	if n == 0 {
		return slot[V]{}
	}
	all := &bucket[V]{edit: e}
	for _, s := range br.slots {
		if s.bucket == nil {
			continue
		}
		for i := range s.bucket.n {
			all.add(s.bucket.hashes[i], s.bucket.vals[i])
		}
	}
	return slot[V]{bucket: all}
}

// own returns the branch to change in an edit.
func (br *hashBranch[V]) own(e Edit) *hashBranch[V] {
	if br.edit == e {
		return br
	}
	c := *br
	c.edit = e
	return &c
}

// own returns the bucket to change in an edit.
func (b *bucket[V]) own(e Edit) *bucket[V] {
	if b.edit == e {
		return b
	}
	c := *b
	c.edit = e
	c.over = append([]V(nil), b.over...)
	return &c
}
