package cow

// Sizes of nodes: branches are copied more often than they are searched in vain.
const (
	leafMax   = 8
	branchMax = 8
)

// Key orders a tree.
type Key[K any] interface {
	Less(K) bool
}

// Tree is an ordered map. The zero tree is empty. A copy of the struct is a copy of the tree.
//
// It is a B+ tree whose last leaf is kept outside: keys that come in order touch that leaf
// alone, and go into the tree by the leaf.
type Tree[K Key[K], V any] struct {
	root *part       // all keys before those of last
	last *leaf[K, V] // the greatest keys; nil only when the tree is empty
	n    int
}

// Same reports whether two trees are one: nothing was changed between them. Of two that are not one it
// may say no although they hold the same.
func (t *Tree[K, V]) Same(was *Tree[K, V]) bool { return t.root == was.root && t.last == was.last }

type leaf[K Key[K], V any] struct {
	part
	keys [leafMax]K // ascending
	vals [leafMax]V
}

// branch has kids in the order of their keys. keys[i] is a lower bound of kids[i] and greater
// than every key of kids[i-1]; keys[0] bounds nothing. All leaves of a tree are equally deep.
type branch[K Key[K], V any] struct {
	part
	keys [branchMax]K
	kids [branchMax]*part
}

func newLeaf[K Key[K], V any](e Edit) *leaf[K, V] {
	return &leaf[K, V]{part: part{edit: e, leaf: true}}
}

// Len returns how many keys there are.
func (t *Tree[K, V]) Len() int { return t.n }

// Get returns the value of a key, the zero value when there is none.
func (t *Tree[K, V]) Get(key K) (v V, ok bool) {
	l := t.last
	if l == nil {
		return v, false
	}
	if key.Less(l.keys[0]) {
		if l = find[K, V](t.root, key); l == nil {
			return v, false
		}
	}
	i, ok := l.search(key)
	if !ok {
		return v, false
	}
	return l.vals[i], true
}

// Min returns the least key and its value.
func (t *Tree[K, V]) Min() (key K, v V, ok bool) {
	l := t.last
	if p := t.root; p != nil {
		for !p.leaf {
			p = branchOf[K, V](p).kids[0]
		}
		l = leafOf[K, V](p)
	}
	if l == nil {
		return key, v, false
	}
	return l.keys[0], l.vals[0], true
}

// Max returns the greatest key and its value.
func (t *Tree[K, V]) Max() (key K, v V, ok bool) {
	l := t.last
	if l == nil {
		return key, v, false
	}
	return l.keys[l.n-1], l.vals[l.n-1], true
}

// find returns the leaf that a key belongs to.
func find[K Key[K], V any](p *part, key K) *leaf[K, V] {
	if p == nil {
		return nil
	}
	for !p.leaf {
		b := branchOf[K, V](p)
		p = b.kids[b.search(key)]
	}
	return leafOf[K, V](p)
}

// search returns where a key is or would be.
func (l *leaf[K, V]) search(key K) (at int, found bool) {
	low, high := 0, int(l.n)
	for low < high {
		mid := (low + high) / 2
		if l.keys[mid].Less(key) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < int(l.n) && !key.Less(l.keys[low])
}

// search returns the kid that a key belongs to.
func (b *branch[K, V]) search(key K) int {
	low, high := 1, int(b.n)
	for low < high {
		mid := (low + high) / 2
		if key.Less(b.keys[mid]) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low - 1
}

// Scan visits the keys in order until visit returns false.
func (t *Tree[K, V]) Scan(visit func(K, V) bool) {
	if scan(t.root, visit) && t.last != nil {
		t.last.scan(0, visit)
	}
}

// Ascend visits the keys from a key on.
func (t *Tree[K, V]) Ascend(from K, visit func(K, V) bool) {
	if t.last == nil {
		return
	}
	if from.Less(t.last.keys[0]) && !ascend(t.root, from, visit) {
		return
	}
	at, _ := t.last.search(from)
	t.last.scan(at, visit)
}

func (l *leaf[K, V]) scan(from int, visit func(K, V) bool) bool {
	for i := from; i < int(l.n); i++ {
		if !visit(l.keys[i], l.vals[i]) {
			return false
		}
	}
	return true
}

func scan[K Key[K], V any](p *part, visit func(K, V) bool) bool {
	if p == nil {
		return true
	}
	if p.leaf {
		return leafOf[K, V](p).scan(0, visit)
	}
	for _, kid := range branchOf[K, V](p).kids[:p.n] {
		if !scan(kid, visit) {
			return false
		}
	}
	return true
}

func ascend[K Key[K], V any](p *part, from K, visit func(K, V) bool) bool {
	if p == nil {
		return true
	}
	if p.leaf {
		l := leafOf[K, V](p)
		at, _ := l.search(from)
		return l.scan(at, visit)
	}
	b := branchOf[K, V](p)
	i := b.search(from)
	if !ascend(b.kids[i], from, visit) {
		return false
	}
	for _, kid := range b.kids[i+1 : b.n] {
		if !scan(kid, visit) {
			return false
		}
	}
	return true
}
