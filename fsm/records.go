package fsm

import "github.com/grafos/grafos/fsm/internal/cow"

// records is an ordered table of values that there are few of, or that hold lists. A tree
// copies whole nodes when it is written, and these records are large: so the nodes hold
// pointers to them. What they point to is written once, when it is made, and only Set and the
// reads below ever see a pointer: what goes in and what comes out are values.
type records[K ~string, V any] struct {
	tree cow.Tree[text, *V]
}

// Get returns the record of a key, the zero record when there is none.
func (r *records[K, V]) Get(key K) (v V, ok bool) {
	p, ok := r.tree.Get(text(key))
	if !ok {
		return v, false
	}
	return *p, true
}

// at returns the record of a key to be looked at. A record never changes: what is written is another one.
func (r *records[K, V]) at(key K) (*V, bool) { return r.tree.Get(text(key)) }

// each looks at the records in the order of their keys, as at does.
func (r *records[K, V]) each(look func(*V)) {
	r.tree.Scan(func(_ text, p *V) bool {
		look(p)
		return true
	})
}

// Set stores a record under a key.
func (r *records[K, V]) Set(e cow.Edit, key K, v V) { r.tree.Set(e, text(key), &v) }

// Delete removes the record of a key.
func (r *records[K, V]) Delete(e cow.Edit, key K) { r.tree.Delete(e, text(key)) }

// Len returns how many records there are.
func (r *records[K, V]) Len() int { return r.tree.Len() }

// Scan visits the records in the order of their keys until visit returns false.
func (r *records[K, V]) Scan(visit func(key K, v V) bool) {
	r.tree.Scan(func(key text, p *V) bool { return visit(K(key), *p) })
}

// Ascend visits the records from a key on.
func (r *records[K, V]) Ascend(from K, visit func(key K, v V) bool) {
	r.tree.Ascend(text(from), func(key text, p *V) bool { return visit(K(key), *p) })
}

// sums is an ordered table of numbers.
type sums[K ~string] struct {
	tree cow.Tree[text, int]
}

// Get returns a sum, 0 where there is none.
func (s *sums[K]) Get(key K) int {
	n, _ := s.tree.Get(text(key))
	return n
}

// add changes a sum; one that is 0 is forgotten.
func (s *sums[K]) add(e cow.Edit, key K, by int) {
	n := s.Get(key) + by
	if n == 0 {
		s.tree.Delete(e, text(key))
		return
	}
	s.tree.Set(e, text(key), n)
}
