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
	root kid[K, V]   // all keys before those of last
	last *leaf[K, V] // the greatest keys; nil only when the tree is empty
	n    int
}

type leaf[K Key[K], V any] struct {
	edit Edit
	n    int
	keys [leafMax]K // ascending
	vals [leafMax]V
}

// branch has kids in the order of their keys. keys[i] is a lower bound of kids[i] and greater
// than every key of kids[i-1]; keys[0] bounds nothing.
type branch[K Key[K], V any] struct {
	edit Edit
	n    int
	keys [branchMax]K
	kids [branchMax]kid[K, V]
}

// kid is a leaf or a branch, or neither. All leaves of a tree are equally deep.
type kid[K Key[K], V any] struct {
	leaf   *leaf[K, V]
	branch *branch[K, V]
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
		if l = t.root.find(key); l == nil {
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
	for k := t.root; k != (kid[K, V]{}); k = k.branch.kids[0] {
		if l = k.leaf; l != nil {
			break
		}
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
func (k kid[K, V]) find(key K) *leaf[K, V] {
	for k.branch != nil {
		k = k.branch.kids[k.branch.search(key)]
	}
	return k.leaf
}

// search returns where a key is or would be.
func (l *leaf[K, V]) search(key K) (at int, found bool) {
	low, high := 0, l.n
	for low < high {
		mid := (low + high) / 2
		if l.keys[mid].Less(key) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < l.n && !key.Less(l.keys[low])
}

// search returns the kid that a key belongs to.
func (b *branch[K, V]) search(key K) int {
	low, high := 1, b.n
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
	if t.root.scan(visit) && t.last != nil {
		t.last.scan(0, visit)
	}
}

// Ascend visits the keys from a key on.
func (t *Tree[K, V]) Ascend(from K, visit func(K, V) bool) {
	if t.last == nil {
		return
	}
	if from.Less(t.last.keys[0]) && !t.root.ascend(from, visit) {
		return
	}
	at, _ := t.last.search(from)
	t.last.scan(at, visit)
}

func (l *leaf[K, V]) scan(from int, visit func(K, V) bool) bool {
	for i := from; i < l.n; i++ {
		if !visit(l.keys[i], l.vals[i]) {
			return false
		}
	}
	return true
}

func (k kid[K, V]) scan(visit func(K, V) bool) bool {
	if k.leaf != nil {
		return k.leaf.scan(0, visit)
	}
	if k.branch == nil {
		return true
	}
	for i := range k.branch.n {
		if !k.branch.kids[i].scan(visit) {
			return false
		}
	}
	return true
}

func (k kid[K, V]) ascend(from K, visit func(K, V) bool) bool {
	if k.leaf != nil {
		at, _ := k.leaf.search(from)
		return k.leaf.scan(at, visit)
	}
	if k.branch == nil {
		return true
	}
	i := k.branch.search(from)
	if !k.branch.kids[i].ascend(from, visit) {
		return false
	}
	for i++; i < k.branch.n; i++ {
		if !k.branch.kids[i].scan(visit) {
			return false
		}
	}
	return true
}
