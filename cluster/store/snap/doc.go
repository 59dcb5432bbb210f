// Package snap keeps Raft's snapshots, and reads and writes the archives that operators take
// of them. A snapshot on disk is an archive: one file that says what it is and proves it.
//
//	offset  bytes
//	0       8      "GRAFSNAP"
//	8       4      length of the manifest, big endian
//	12      4      CRC-32C of the manifest
//	16      n      the manifest: JSON (Info), padded with spaces
//	16+n    size   the payload: what the state machine wrote
//
// The file ends where the payload ends. The manifest holds the index, the term, the
// configuration, and size and SHA-256 of the payload; its own checksum keeps a flipped digit
// from passing for another index. It stands first, so that a stream can be verified while it
// is read, and is written last, into room that was left for it: a file without it is no
// archive.
//
// A snapshot appears under its name when it is whole: written beside it, synced, renamed, and
// the directory synced. Store.Open gives a reader that hashes what passes through it and
// keeps the last bytes back until the hash is right: whoever reads to the end, as the state
// machine does before it trusts anything, cannot have read a damaged one.
//
// The newest snapshot is verified when the store is opened. When it is damaged or gone, the
// one before it is used only if the log still holds every entry after that one; otherwise
// what both of them say together is not known any more, and the store does not open.
//
// Directories that raft.FileSnapshotStore wrote, as the first release did, are read, and
// disappear as newer snapshots come. Their CRC-64 covers the payload only.
package snap
