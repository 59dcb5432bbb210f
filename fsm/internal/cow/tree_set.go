package cow

// Set stores a value under a key, and returns the one that it replaced.
func (t *Tree[K, V]) Set(e Edit, key K, v V) (old V, had bool) {
	switch {
	case t.last == nil:
		t.last = &leaf[K, V]{edit: e}
		t.last.insert(0, key, v)
	case key.Less(t.last.keys[0]):
		old, had = t.setInRoot(e, key, v)
	default:
		old, had = t.setInLast(e, key, v)
	}
	if !had {
		t.n++
	}
	return old, had
}

func (t *Tree[K, V]) setInLast(e Edit, key K, v V) (old V, had bool) {
	at, found := t.last.search(key)
	if !found && t.last.n == leafMax {
		full := t.last
		if at == leafMax {
			t.last = &leaf[K, V]{edit: e}
			at = 0
		} else {
			full = full.own(e)
			t.last = full.split(e)
			if at <= full.n {
				full.insert(at, key, v)
				t.push(e, full)
				return old, false
			}
			at -= full.n
		}
		t.push(e, full)
	}
	t.last = t.last.own(e)
	if found {
		old, t.last.vals[at] = t.last.vals[at], v
		return old, true
	}
	t.last.insert(at, key, v)
	return old, false
}

// push makes l the last leaf of the root; its keys are after all others there.
func (t *Tree[K, V]) push(e Edit, l *leaf[K, V]) {
	switch {
	case t.root == (kid[K, V]{}):
		t.root.leaf = l
	case t.root.leaf != nil:
		t.grow(e, t.root, l.keys[0], kid[K, V]{leaf: l})
	default:
		b, right, ok := t.root.branch.push(e, l)
		t.root.branch = b
		if ok {
			t.grow(e, t.root, l.keys[0], right)
		}
	}
}

// grow makes a root of two kids.
func (t *Tree[K, V]) grow(e Edit, left kid[K, V], key K, right kid[K, V]) {
	b := &branch[K, V]{edit: e, n: 2}
	b.kids[0], b.kids[1], b.keys[1] = left, right, key
	t.root = kid[K, V]{branch: b}
}

// push adds a leaf behind all others. A branch that is full stays so: what comes in order
// leaves full nodes behind. ok says that right is a new neighbour of b.
func (b *branch[K, V]) push(e Edit, l *leaf[K, V]) (own *branch[K, V], right kid[K, V], ok bool) {
	down := kid[K, V]{leaf: l}
	if last := b.kids[b.n-1]; last.branch != nil {
		kid, right, more := last.branch.push(e, l)
		if kid != last.branch {
			b = b.own(e)
			b.kids[b.n-1].branch = kid
		}
		if !more {
			return b, right, false
		}
		down = right
	}
	if b.n < branchMax {
		b = b.own(e)
		b.insert(b.n, l.keys[0], down)
		return b, right, false
	}
	next := &branch[K, V]{edit: e}
	next.insert(0, l.keys[0], down)
	return b, kid[K, V]{branch: next}, true
}

func (t *Tree[K, V]) setInRoot(e Edit, key K, v V) (old V, had bool) {
	if t.root == (kid[K, V]{}) {
		t.root.leaf = &leaf[K, V]{edit: e}
	}
	s := setter[K, V]{edit: e, key: key, v: v}
	root, right, at, ok := s.set(t.root)
	t.root = root
	if ok {
		t.grow(e, root, at, right)
	}
	return s.old, s.had
}

// setter carries one Set through the tree.
type setter[K Key[K], V any] struct {
	edit Edit
	key  K
	v    V
	old  V
	had  bool
}

// set returns k with the key in it; where that was too much for one node, also its new right
// neighbour, whose keys begin at at.
func (s *setter[K, V]) set(k kid[K, V]) (own, right kid[K, V], at K, ok bool) {
	if k.leaf != nil {
		l, r, at, ok := s.setLeaf(k.leaf.own(s.edit))
		return kid[K, V]{leaf: l}, kid[K, V]{leaf: r}, at, ok
	}
	b := k.branch.own(s.edit)
	i := b.search(s.key)
	down, right, at, ok := s.set(b.kids[i])
	b.kids[i] = down
	own = kid[K, V]{branch: b}
	if !ok {
		return own, kid[K, V]{}, at, false
	}
	i++
	if b.n < branchMax {
		b.insert(i, at, right)
		return own, kid[K, V]{}, at, false
	}
	r, first := b.split(s.edit)
	if i <= b.n {
		b.insert(i, at, right)
	} else {
		r.insert(i-b.n, at, right)
	}
	return own, kid[K, V]{branch: r}, first, true
}

func (s *setter[K, V]) setLeaf(l *leaf[K, V]) (own, right *leaf[K, V], at K, ok bool) {
	i, found := l.search(s.key)
	if found {
		s.old, s.had, l.vals[i] = l.vals[i], true, s.v
		return l, nil, at, false
	}
	if l.n < leafMax {
		l.insert(i, s.key, s.v)
		return l, nil, at, false
	}
	right = l.split(s.edit)
	if i <= l.n {
		l.insert(i, s.key, s.v)
	} else {
		right.insert(i-l.n, s.key, s.v)
	}
	return l, right, right.keys[0], true
}

// own returns the leaf to change in an edit.
func (l *leaf[K, V]) own(e Edit) *leaf[K, V] {
	if l.edit == e {
		return l
	}
	c := &leaf[K, V]{edit: e, n: l.n}
	copy(c.keys[:l.n], l.keys[:l.n])
	copy(c.vals[:l.n], l.vals[:l.n])
	return c
}

// own returns the branch to change in an edit.
func (b *branch[K, V]) own(e Edit) *branch[K, V] {
	if b.edit == e {
		return b
	}
	c := *b
	c.edit = e
	return &c
}

func (l *leaf[K, V]) insert(at int, key K, v V) {
	copy(l.keys[at+1:l.n+1], l.keys[at:l.n])
	copy(l.vals[at+1:l.n+1], l.vals[at:l.n])
	l.keys[at], l.vals[at] = key, v
	l.n++
}

func (b *branch[K, V]) insert(at int, key K, k kid[K, V]) {
	copy(b.keys[at+1:b.n+1], b.keys[at:b.n])
	copy(b.kids[at+1:b.n+1], b.kids[at:b.n])
	b.keys[at], b.kids[at] = key, k
	b.n++
}

// split moves the greater half of a full leaf into a new one.
func (l *leaf[K, V]) split(e Edit) *leaf[K, V] {
	const half = leafMax / 2
	r := &leaf[K, V]{edit: e, n: l.n - half}
	copy(r.keys[:], l.keys[half:l.n])
	copy(r.vals[:], l.vals[half:l.n])
	clear(l.keys[half:])
	clear(l.vals[half:])
	l.n = half
	return r
}

// split moves the greater half of a full branch into a new one, whose keys begin at first.
func (b *branch[K, V]) split(e Edit) (r *branch[K, V], first K) {
	const half = branchMax / 2
	r = &branch[K, V]{edit: e, n: b.n - half}
	copy(r.keys[:], b.keys[half:b.n])
	copy(r.kids[:], b.kids[half:b.n])
	first = r.keys[0]
	clear(b.keys[half:])
	clear(b.kids[half:])
	b.n = half
	return r, first
}
