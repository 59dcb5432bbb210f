package cow

// Delete removes a key and returns its value. A key that is not there copies nothing.
func (t *Tree[K, V]) Delete(e Edit, key K) (old V, had bool) {
	if t.last == nil {
		return old, false
	}
	if key.Less(t.last.keys[0]) {
		t.root, old, had = remove[K, V](t.root, e, key)
		t.shrink()
	} else if at, found := t.last.search(key); found {
		old, had = t.last.vals[at], true
		t.last = t.last.own(e)
		t.last.remove(at)
		if t.last.n == 0 {
			t.last, t.root = pop[K, V](t.root, e)
			t.shrink()
		}
	}
	if had {
		t.n--
	}
	return old, had
}

// shrink drops roots with one kid.
func (t *Tree[K, V]) shrink() {
	for t.root != nil && !t.root.leaf && t.root.n == 1 {
		t.root = branchOf[K, V](t.root).kids[0]
	}
}

// remove returns p without the key, p itself when it is not there; nil when nothing is left.
func remove[K Key[K], V any](p *part, e Edit, key K) (own *part, old V, had bool) {
	if p == nil {
		return nil, old, false
	}
	if p.leaf {
		l := leafOf[K, V](p)
		at, found := l.search(key)
		if !found {
			return p, old, false
		}
		old = l.vals[at]
		if l.n == 1 {
			return nil, old, true
		}
		l = l.own(e)
		l.remove(at)
		return &l.part, old, true
	}
	b := branchOf[K, V](p)
	i := b.search(key)
	down, old, had := remove[K, V](b.kids[i], e, key)
	if !had {
		return p, old, false
	}
	b = b.own(e)
	b.kids[i] = down
	return b.settle(e, i), old, true
}

// pop takes the last leaf out of p; nil when there is none.
func pop[K Key[K], V any](p *part, e Edit) (last *leaf[K, V], rest *part) {
	if p == nil {
		return nil, nil
	}
	if p.leaf {
		return leafOf[K, V](p), nil
	}
	b := branchOf[K, V](p).own(e)
	i := int(b.n) - 1
	last, b.kids[i] = pop[K, V](b.kids[i], e)
	return last, b.settle(e, i)
}

// settle removes kid i if it is empty, and joins it to a neighbour if one node can hold both.
func (b *branch[K, V]) settle(e Edit, i int) *part {
	switch {
	case b.kids[i] == nil:
		b.remove(i)
	case i > 0 && b.kids[i-1].n+b.kids[i].n <= b.kids[i].most():
		b.join(e, i-1)
	case i+1 < int(b.n) && b.kids[i].n+b.kids[i+1].n <= b.kids[i].most():
		b.join(e, i)
	}
	if b.n == 0 {
		return nil
	}
	return &b.part
}

// most is how large a node may be that two were joined to: with room, so that the next Set
// does not split it again.
func (p *part) most() int32 {
	size := branchMax
	if p.leaf {
		size = leafMax
	}
	return int32(size) * 3 / 4
}

// join makes one kid of i and its right neighbour.
func (b *branch[K, V]) join(e Edit, i int) {
	if b.kids[i].leaf {
		l, r := leafOf[K, V](b.kids[i]).own(e), leafOf[K, V](b.kids[i+1])
		copy(l.keys[l.n:], r.keys[:r.n])
		copy(l.vals[l.n:], r.vals[:r.n])
		l.n += r.n
		b.kids[i] = &l.part
	} else {
		l, r := branchOf[K, V](b.kids[i]).own(e), branchOf[K, V](b.kids[i+1])
		copy(l.keys[l.n:], r.keys[:r.n])
		copy(l.kids[l.n:], r.kids[:r.n])
		l.keys[l.n] = b.keys[i+1] // it bounds now what it did not before
		l.n += r.n
		b.kids[i] = &l.part
	}
	b.remove(i + 1)
}

func (l *leaf[K, V]) remove(at int) {
	copy(l.keys[at:], l.keys[at+1:l.n])
	copy(l.vals[at:], l.vals[at+1:l.n])
	l.n--
	clear(l.keys[l.n : l.n+1]) // what is gone keeps nothing alive
	clear(l.vals[l.n : l.n+1])
}

func (b *branch[K, V]) remove(at int) {
	copy(b.keys[at:], b.keys[at+1:b.n])
	copy(b.kids[at:], b.kids[at+1:b.n])
	b.n--
	clear(b.keys[b.n : b.n+1])
	clear(b.kids[b.n : b.n+1])
}
