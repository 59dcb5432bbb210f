package cow

// Set stores a value under a key, and returns the one that it replaced.
func (t *Tree[K, V]) Set(e Edit, key K, v V) (old V, had bool) {
	switch {
	case t.last == nil:
		t.last = newLeaf[K, V](e)
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
			t.last = newLeaf[K, V](e)
			at = 0
		} else {
			full = full.own(e)
			t.last = full.split(e)
			if at <= int(full.n) {
				full.insert(at, key, v)
				t.push(e, full)
				return old, false
			}
			at -= int(full.n)
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
	case t.root == nil:
		t.root = &l.part
	case t.root.leaf:
		t.grow(e, t.root, l.keys[0], &l.part)
	default:
		b, right := branchOf[K, V](t.root).push(e, l)
		t.root = &b.part
		if right != nil {
			t.grow(e, t.root, l.keys[0], right)
		}
	}
}

// grow makes a root of two kids.
func (t *Tree[K, V]) grow(e Edit, left *part, key K, right *part) {
	b := &branch[K, V]{part: part{edit: e, n: 2}}
	b.kids[0], b.kids[1], b.keys[1] = left, right, key
	t.root = &b.part
}

// push adds a leaf behind all others, in b or in a new neighbour of it. A branch that is full
// stays so: what comes in order leaves full nodes behind.
func (b *branch[K, V]) push(e Edit, l *leaf[K, V]) (own *branch[K, V], right *part) {
	down := &l.part
	if last := b.kids[b.n-1]; !last.leaf {
		kid, right := branchOf[K, V](last).push(e, l)
		if &kid.part != last {
			b = b.own(e)
			b.kids[b.n-1] = &kid.part
		}
		if right == nil {
			return b, nil
		}
		down = right
	}
	if b.n < branchMax {
		b = b.own(e)
		b.insert(int(b.n), l.keys[0], down)
		return b, nil
	}
	next := &branch[K, V]{part: part{edit: e}}
	next.insert(0, l.keys[0], down)
	return b, &next.part
}

func (t *Tree[K, V]) setInRoot(e Edit, key K, v V) (old V, had bool) {
	if t.root == nil {
		t.root = &newLeaf[K, V](e).part
	}
	s := setter[K, V]{edit: e, key: key, v: v}
	root, right, at := s.set(t.root)
	t.root = root
	if right != nil {
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

// set returns p with the key in it; where that was too much for one node, also its new right
// neighbour, whose keys begin at at.
func (s *setter[K, V]) set(p *part) (own, right *part, at K) {
	if p.leaf {
		return s.setLeaf(leafOf[K, V](p).own(s.edit))
	}
	b := branchOf[K, V](p).own(s.edit)
	i := b.search(s.key)
	b.kids[i], right, at = s.set(b.kids[i])
	if right == nil {
		return &b.part, nil, at
	}
	i++
	if b.n < branchMax {
		b.insert(i, at, right)
		return &b.part, nil, at
	}
	r, first := b.split(s.edit)
	if i <= int(b.n) {
		b.insert(i, at, right)
	} else {
		r.insert(i-int(b.n), at, right)
	}
	return &b.part, &r.part, first
}

func (s *setter[K, V]) setLeaf(l *leaf[K, V]) (own, right *part, at K) {
	i, found := l.search(s.key)
	if found {
		s.old, s.had, l.vals[i] = l.vals[i], true, s.v
		return &l.part, nil, at
	}
	if l.n < leafMax {
		l.insert(i, s.key, s.v)
		return &l.part, nil, at
	}
	r := l.split(s.edit)
	if i <= int(l.n) {
		l.insert(i, s.key, s.v)
	} else {
		r.insert(i-int(l.n), s.key, s.v)
	}
	return &l.part, &r.part, r.keys[0]
}

// own returns the leaf to change in an edit.
func (l *leaf[K, V]) own(e Edit) *leaf[K, V] {
	if l.edit == e {
		return l
	}
	c := *l
	c.edit = e
	return &c
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

func (b *branch[K, V]) insert(at int, key K, kid *part) {
	copy(b.keys[at+1:b.n+1], b.keys[at:b.n])
	copy(b.kids[at+1:b.n+1], b.kids[at:b.n])
	b.keys[at], b.kids[at] = key, kid
	b.n++
}

// split moves the greater half of a full leaf into a new one.
func (l *leaf[K, V]) split(e Edit) *leaf[K, V] {
	const half = leafMax / 2
	r := newLeaf[K, V](e)
	r.n = l.n - half
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
	r = &branch[K, V]{part: part{edit: e, n: b.n - half}}
	copy(r.keys[:], b.keys[half:b.n])
	copy(r.kids[:], b.kids[half:b.n])
	first = r.keys[0]
	clear(b.keys[half:])
	clear(b.kids[half:])
	b.n = half
	return r, first
}
