// Package store keeps what a scheduler must find again after a crash: the Raft log with its
// stable values (Log), snapshots beside it (Open, package snap), and the records of the audit
// chain (Audit). docs/storage.md says what is on disk, in which order it is synced, and what
// is detected how.
//
// All of it fails closed. What is not as it was written is a *CorruptError that names the
// file and the entry; a node that meets one must stop and be rebuilt from its peers, because
// a log that forgot what it acknowledged can elect a leader that lost it (L3). What the disk
// refused once ends all writing, and is told to OnFault.
//
// Log is the same whatever keeps the entries, raft-boltdb or raft-wal (engine):
//
//   - Every entry carries a checksum over its content, its place and the checksum of the entry
//     before it. OpenLog verifies the chain from end to end; the checksums stay in memory, and
//     every later read is compared with them.
//   - Term and vote are kept twice, the second time in a file of their own (votes), each with
//     the generation of its writing. The log is written first; it may be one generation ahead
//     after a crash, and never behind.
//   - The mark is a lower bound of what was acknowledged. It is not synced with every append,
//     so it may say less than the truth, never more: what makes it smaller is synced before it
//     is done.
//
// Neither engine is trusted with a file that it did not close itself: bolt follows a damaged
// page anywhere, so its file is walked first (walkBolt); raft-wal takes damage of its last
// segment for a torn write and cannot go on after a crash in the middle of a rotation, so that
// segment is scanned, and mended where a crash explains it, first (prepareTail).
//
// Audit is different: its head is replicated state, and every record can be fetched again
// from a peer and verified against that head. So a torn or damaged tail is cut off, kept
// aside where it was more than a torn write, and reported as Missing until it is backfilled.
//
// Lock order: Audit.syncMu before Audit.mu; Log.mu before Log.known and before the locks of
// the mark, of walMeta and of walValues. raft-wal calls walMeta from a goroutine of its own
// while an append waits for it: nothing under walMeta's lock may wait for Log's.
package store
