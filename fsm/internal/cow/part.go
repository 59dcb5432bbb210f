package cow

import "unsafe"

// part is what every node begins with, and what its parent knows of it: one word a child,
// where a pointer to either kind would be two. Half of what an entry copies are such words, and
// the garbage collector looks at each of them.
type part struct {
	edit Edit
	n    int32 // of the keys in it
	leaf bool  // it is a leaf or a bucket, not a branch
}

// The conversions back. A part is the first field of the node that it belongs to, and a tree
// or map has nodes of one key and one value type only.

func leafOf[K Key[K], V any](p *part) *leaf[K, V] { return (*leaf[K, V])(unsafe.Pointer(p)) }

func branchOf[K Key[K], V any](p *part) *branch[K, V] { return (*branch[K, V])(unsafe.Pointer(p)) }

func bucketOf[V any](p *part) *bucket[V] { return (*bucket[V])(unsafe.Pointer(p)) }

func forkOf(p *part) *fork { return (*fork)(unsafe.Pointer(p)) }
