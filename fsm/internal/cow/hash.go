package cow

// Sizes of the nodes of a hash map.
const (
	hashBits  = 3 // of a hash, used by one fork
	hashWidth = 1 << hashBits
	bucketMax = 8
	// hashDepth is how many forks a hash can go through.
	hashDepth = 30 / hashBits
)

// Hash is a hash map without an order: values are found by a hash and by what the caller
// knows of them. The zero map is empty. A copy of the struct is a copy of the map.
type Hash[V any] struct {
	root *part
	n    int
}

// fork has a node for each of the next bits of a hash.
type fork struct {
	part
	slots [hashWidth]*part
}

// bucket holds a few values beside their hashes. At the greatest depth it holds however many
// there are of one hash, those that do not fit in over.
type bucket[V any] struct {
	part
	hashes [bucketMax]uint32
	vals   [bucketMax]V
	over   []V
}

func newBucket[V any](e Edit) *bucket[V] { return &bucket[V]{part: part{edit: e, leaf: true}} }

// Len returns how many values there are.
func (h *Hash[V]) Len() int { return h.n }

// fold makes the hash that is kept of one: the bits that hashDepth forks use.
func fold(sum uint64) uint32 { return uint32(sum^sum>>32) & (1<<(hashDepth*hashBits) - 1) }

// Get returns the value with a hash that is the right one.
func (h *Hash[V]) Get(sum uint64, is func(V) bool) (v V, ok bool) {
	hash := fold(sum)
	p := h.root
	for rest := hash; p != nil && !p.leaf; rest >>= hashBits {
		p = forkOf(p).slots[rest%hashWidth]
	}
	if p == nil {
		return v, false
	}
	b := bucketOf[V](p)
	switch at := b.find(hash, is); {
	case at < 0:
		return v, false
	case at < bucketMax:
		return b.vals[at], true
	default:
		return b.over[at-bucketMax], true
	}
}

// Set stores a value in place of the one that is the right one, if there is one.
func (h *Hash[V]) Set(e Edit, sum uint64, v V, is func(V) bool) {
	hash := fold(sum)
	slot := &h.root
	rest, depth := hash, 0
	for ; *slot != nil && !(*slot).leaf; depth++ {
		f := forkOf(*slot).own(e)
		*slot = &f.part
		slot = &f.slots[rest%hashWidth]
		rest >>= hashBits
	}
	b := ownBucket[V](slot, e)
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
		f := b.spread(e, depth)
		*slot = &f.part
		slot = &f.slots[rest%hashWidth]
		rest >>= hashBits
		depth++
		b = ownBucket[V](slot, e)
	}
	b.add(hash, v)
}

// ownBucket returns the bucket in a slot to be changed in an edit, a new one where there is none.
func ownBucket[V any](slot **part, e Edit) *bucket[V] {
	var b *bucket[V]
	if *slot == nil {
		b = newBucket[V](e)
	} else {
		b = bucketOf[V](*slot).own(e)
	}
	*slot = &b.part
	return b
}

func (b *bucket[V]) add(hash uint32, v V) {
	if b.n == bucketMax {
		b.over = append(b.over, v)
		return
	}
	b.hashes[b.n], b.vals[b.n] = hash, v
	b.n++
}

// spread makes a fork of a full bucket that lies depth forks deep.
func (b *bucket[V]) spread(e Edit, depth int) *fork {
	f := &fork{part: part{edit: e}}
	for i := range b.n {
		slot := &f.slots[b.hashes[i]>>(depth*hashBits)%hashWidth]
		ownBucket[V](slot, e).add(b.hashes[i], b.vals[i])
	}
	return f
}

// Delete removes the value that is the right one. One that is not there copies nothing.
func (h *Hash[V]) Delete(e Edit, sum uint64, is func(V) bool) (old V, had bool) {
	hash := fold(sum)
	root, old, had := drop(h.root, e, hash, hash, is)
	if had {
		h.root = root
		h.n--
	}
	return old, had
}

// drop returns p without the value; p itself when it is not there.
func drop[V any](p *part, e Edit, hash, rest uint32, is func(V) bool) (own *part, old V, had bool) {
	if p == nil {
		return nil, old, false
	}
	if !p.leaf {
		f, at := forkOf(p), rest%hashWidth
		down, old, had := drop(f.slots[at], e, hash, rest>>hashBits, is)
		if !had {
			return p, old, false
		}
		f = f.own(e)
		f.slots[at] = down
		return settle[V](f, e), old, true
	}
	b := bucketOf[V](p)
	at := b.find(hash, is)
	if at < 0 {
		return p, old, false
	}
	if b.n == 1 && len(b.over) == 0 {
		return nil, b.vals[0], true
	}
	b = b.own(e)
	return &b.part, b.remove(at), true
}

// find returns where a value is, counting on behind vals into over; -1 when it is not there.
func (b *bucket[V]) find(hash uint32, is func(V) bool) int {
	for i := range int(b.n) {
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

// settle makes one bucket of a fork whose buckets hold little, and nothing of an empty one.
func settle[V any](f *fork, e Edit) *part {
	n := 0
	for _, p := range f.slots {
		if p == nil {
			continue
		}
		if !p.leaf {
			return &f.part
		}
		n += int(p.n) + len(bucketOf[V](p).over)
	}
	if n > bucketMax/2 {
		return &f.part
	}
	if n == 0 {
		return nil
	}
	all := newBucket[V](e)
	for _, p := range f.slots {
		if p == nil {
			continue
		}
		b := bucketOf[V](p)
		for i := range b.n {
			all.add(b.hashes[i], b.vals[i])
		}
	}
	return &all.part
}

// own returns the fork to change in an edit.
func (f *fork) own(e Edit) *fork {
	if f.edit == e {
		return f
	}
	c := *f
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

// Differ calls visit with every value that is in only one of two maps, and with some that are in both.
// What the maps share is not looked at: of two that were one, it costs what was changed since.
func (h *Hash[V]) Differ(was *Hash[V], visit func(V)) { differ(h.root, was.root, visit) }

func differ[V any](a, b *part, visit func(V)) {
	switch {
	case a == b:
	case a != nil && b != nil && !a.leaf && !b.leaf:
		for i := range hashWidth {
			differ(forkOf(a).slots[i], forkOf(b).slots[i], visit)
		}
	default:
		every(a, visit)
		every(b, visit)
	}
}

// every calls visit with every value below p.
func every[V any](p *part, visit func(V)) {
	switch {
	case p == nil:
	case !p.leaf:
		for _, down := range forkOf(p).slots {
			every(down, visit)
		}
	default:
		b := bucketOf[V](p)
		for _, v := range b.vals[:b.n] {
			visit(v)
		}
		for _, v := range b.over {
			visit(v)
		}
	}
}
