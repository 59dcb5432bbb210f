package cow

// Own returns the value of a key to be changed in an edit, and before the tree is changed in any
// other way; nil when there is none.
func (t *Tree[K, V]) Own(e Edit, key K) *V {
	switch {
	case t.last == nil:
		return nil
	case !key.Less(t.last.keys[0]):
		at, found := t.last.search(key)
		if !found {
			return nil
		}
		t.last = t.last.own(e)
		return &t.last.vals[at]
	case t.root == nil:
		return nil
	}
	p := &t.root
	for !(*p).leaf {
		b := branchOf[K, V](*p).own(e)
		*p = &b.part
		p = &b.kids[b.search(key)]
	}
	l := leafOf[K, V](*p)
	at, found := l.search(key)
	if !found {
		return nil
	}
	l = l.own(e)
	*p = &l.part
	return &l.vals[at]
}
