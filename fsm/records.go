package fsm

import "github.com/tidwall/btree"

// records is an ordered table of values. A tree copies whole nodes when it is written after a
// copy was taken, which is once an entry, and records are large: so the nodes hold boxes. A
// box is written once, when it is made, and only Set and the reads below ever open one: what
// goes in and what comes out are values, and no pointer into the state gets out.
type records[K ~string, V any] struct {
	tree *btree.Map[K, box[V]]
}

// box holds a record that never changes.
type box[V any] struct{ v *V }

func newRecords[K ~string, V any]() records[K, V] {
	return records[K, V]{tree: btree.NewMap[K, box[V]](nodeDegree)}
}

// Copy returns a copy that stays as it is. It marks its source: only the goroutine that
// applies may call it.
func (r records[K, V]) Copy() records[K, V] { return records[K, V]{tree: r.tree.Copy()} }

// Get returns the record of a key, the zero record when there is none.
func (r records[K, V]) Get(key K) (v V, ok bool) {
	b, ok := r.tree.Get(key)
	if !ok {
		return v, false
	}
	return *b.v, true
}

// Set stores a record under a key.
func (r records[K, V]) Set(key K, v V) { r.tree.Set(key, box[V]{&v}) }

// Delete removes the record of a key.
func (r records[K, V]) Delete(key K) { r.tree.Delete(key) }

// Len returns how many records there are.
func (r records[K, V]) Len() int { return r.tree.Len() }

// Scan visits the records in the order of their keys until visit returns false.
func (r records[K, V]) Scan(visit func(key K, v V) bool) {
	r.tree.Scan(func(key K, b box[V]) bool { return visit(key, *b.v) })
}

// Ascend visits the records from a key on.
func (r records[K, V]) Ascend(from K, visit func(key K, v V) bool) {
	r.tree.Ascend(from, func(key K, b box[V]) bool { return visit(key, *b.v) })
}
