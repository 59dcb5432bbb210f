package cow

// Delete removes a key and returns its value. A key that is not there copies nothing.
func (t *Tree[K, V]) Delete(e Edit, key K) (old V, had bool) {
	if t.last == nil {
		return old, false
	}
	if key.Less(t.last.keys[0]) {
		t.root, old, had = t.root.delete(e, key)
		t.shrink()
	} else if at, found := t.last.search(key); found {
		old, had = t.last.vals[at], true
		t.last = t.last.own(e)
		t.last.remove(at)
		if t.last.n == 0 {
			t.last, t.root = t.root.pop(e)
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
	for t.root.branch != nil && t.root.branch.n == 1 {
		t.root = t.root.branch.kids[0]
	}
}

// delete returns k without the key, k itself when it is not there; the empty kid when nothing
// is left.
func (k kid[K, V]) delete(e Edit, key K) (own kid[K, V], old V, had bool) {
	if l := k.leaf; l != nil {
		at, found := l.search(key)
		if !found {
			return k, old, false
		}
		old = l.vals[at]
		if l.n == 1 {
			return kid[K, V]{}, old, true
		}
		l = l.own(e)
		l.remove(at)
		return kid[K, V]{leaf: l}, old, true
	}
	if k.branch == nil {
		return k, old, false
	}
	i := k.branch.search(key)
	down, old, had := k.branch.kids[i].delete(e, key)
	if !had {
		return k, old, false
	}
	b := k.branch.own(e)
	b.kids[i] = down
	return b.settle(e, i), old, true
}

// pop takes the last leaf out of k; nil when there is none.
func (k kid[K, V]) pop(e Edit) (last *leaf[K, V], rest kid[K, V]) {
	if k.branch == nil {
		return k.leaf, kid[K, V]{}
	}
	b := k.branch.own(e)
	i := b.n - 1
	last, b.kids[i] = b.kids[i].pop(e)
	return last, b.settle(e, i)
}

// settle removes kid i if it is empty, and joins it to a neighbour if one node can hold both.
func (b *branch[K, V]) settle(e Edit, i int) kid[K, V] {
	switch {
	case b.kids[i] == (kid[K, V]{}):
		b.remove(i)
	case i > 0 && b.kids[i-1].size()+b.kids[i].size() <= b.kids[i].most():
		b.join(e, i-1)
	case i+1 < b.n && b.kids[i].size()+b.kids[i+1].size() <= b.kids[i].most():
		b.join(e, i)
	}
	if b.n == 0 {
		return kid[K, V]{}
	}
	return kid[K, V]{branch: b}
}

func (k kid[K, V]) size() int {
	if k.leaf != nil {
		return k.leaf.n
	}
	return k.branch.n
}

// most is how large a node may be that two were joined to: with room, so that the next Set
// does not split it again.
func (k kid[K, V]) most() int {
	if k.leaf != nil {
		return leafMax * 3 / 4
	}
	return branchMax * 3 / 4
}

// join makes one kid of i and its right neighbour.
func (b *branch[K, V]) join(e Edit, i int) {
	if l := b.kids[i].leaf; l != nil {
		r := b.kids[i+1].leaf
		l = l.own(e)
		copy(l.keys[l.n:], r.keys[:r.n])
		copy(l.vals[l.n:], r.vals[:r.n])
		l.n += r.n
		b.kids[i].leaf = l
	} else {
		r := b.kids[i+1].branch
		l := b.kids[i].branch.own(e)
		copy(l.keys[l.n:], r.keys[:r.n])
		copy(l.kids[l.n:], r.kids[:r.n])
		l.keys[l.n] = b.keys[i+1] // it bounds now what it did not before
		l.n += r.n
		b.kids[i].branch = l
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
