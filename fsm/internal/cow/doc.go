// Package cow holds the ordered tree and the hash map of the replicated state. Both share
// their nodes between versions: to copy one is to copy its header, and a change afterwards
// copies the nodes on the way to it.
//
// One goroutine writes, and it says in which edit. A node is changed in place while it
// belongs to the edit, and copied when it belongs to an older one; so whoever hands a copy
// out begins a new edit and never goes back to an old one. A copy may be read by anybody, at
// any time, while the writer goes on.
//
// Every applied entry is an edit. What an entry costs is therefore the nodes that it copies,
// and their garbage: that is why nodes are small, why the newest keys of a tree wait in a
// leaf of their own, outside the tree, and why keys and values hold as few pointers as can be.
//
// An Index is not copied at all: it only says where in a tree to look, and the tree knows its
// version.
package cow

// Edit numbers what a writer does between two copies. The zero edit is never used.
type Edit uint64
