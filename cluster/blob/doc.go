// Package blob keeps content-addressed bytes (modules, inputs, artifacts) on the disks of
// the schedulers. A put returns when a quorum has the bytes on disk, so that a reference
// committed after it never points to nothing while a quorum of disks survives.
//
// A blob is a file named after its SHA-256. It appears under that name only when it is whole,
// verified and synced; until then it is a file in tmp/, which Open empties. Bytes are
// streamed in both directions and never held whole in memory.
//
// Lock order: a flight (one put or fetch of one digest) before Store.mu.
package blob
