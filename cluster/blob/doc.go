// Package blob keeps content-addressed bytes on a scheduler's disk and on its peers':
// modules, inputs, artifacts. A put is answered when a quorum of schedulers has the bytes
// on disk, so that the reference that is committed after it never points at nothing; what
// one node does not hold it fetches from a peer, and verifies.
//
// A blob is a file whose name is its digest. It appears by a rename after its bytes are on
// disk and verified, so a name that exists is whole; what a crash leaves are temporary
// files, which Open removes.
package blob
