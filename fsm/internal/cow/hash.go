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
	return s.bucket.get(hash, is)
}

func (b *bucket[V]) get(hash uint32, is func(V) bool) (v V, ok bool) {
	for i := range b.n {
		if b.hashes[i] == hash && is(b.vals[i]) {
			return b.vals[i], true
		}
	}
	for _, v := range b.over {
		if is(v) {
			return v, true
		}
	}
	return v, false
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
	if b.replace(hash, v, is) {
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

func (b *bucket[V]) replace(hash uint32, v V, is func(V) bool) bool {
	for i := range b.n {
		if b.hashes[i] == hash && is(b.vals[i]) {
			b.vals[i] = v
			return true
		}
	}
	for i := range b.over {
		if is(b.over[i]) {
			b.over[i] = v
			return true
		}
	}
	return false
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
	if old, had = h.Get(sum, is); !had {
		return old, false
	}
	h.n--
	hash := fold(sum)
	h.root = h.root.delete(e, hash, hash, is)
	return old, true
}

func (s slot[V]) delete(e Edit, hash, rest uint32, is func(V) bool) slot[V] {
	if s.branch == nil {
		b := s.bucket.own(e)
		b.remove(hash, is)
		if b.n == 0 {
			return slot[V]{}
		}
		return slot[V]{bucket: b}
	}
	br := s.branch.own(e)
	at := rest % hashWidth
	br.slots[at] = br.slots[at].delete(e, hash, rest>>hashBits, is)
	return br.settle(e)
}

func (b *bucket[V]) remove(hash uint32, is func(V) bool) {
	var none V
	for i := range b.n {
		if b.hashes[i] != hash || !is(b.vals[i]) {
			continue
		}
		if n := len(b.over); n > 0 { // all of this bucket have one hash
			b.vals[i], b.over[n-1] = b.over[n-1], none
			b.over = b.over[:n-1]
			return
		}
		b.n--
		b.hashes[i], b.vals[i] = b.hashes[b.n], b.vals[b.n]
		b.vals[b.n] = none
		return
	}
	for i := range b.over {
		if is(b.over[i]) {
			n := len(b.over) - 1
			b.over[i], b.over[n] = b.over[n], none
			b.over = b.over[:n]
			return
		}
	}
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
