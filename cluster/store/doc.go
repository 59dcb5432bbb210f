// Package store keeps what a scheduler must find again after a crash: the Raft log with its
// stable values (Log), and the records of the audit chain (Audit).
//
// Both fail closed. Log wraps raft-boltdb: every entry and every stable value carries a
// checksum over its content and its place, verified whenever it is read, and OpenLog walks
// the whole file before anything trusts it. What does not verify is a *CorruptError that
// names the file and the entry; a node that meets one must stop and be rebuilt from its
// peers, because a log that forgot what it acknowledged can elect a leader that lost it (L3).
//
// Audit is different: its head is replicated state, and every record can be fetched again
// from a peer and verified against that head. So a torn or damaged tail is cut off, kept
// aside where it was more than a torn write, and reported as Missing until it is backfilled.
//
// Lock order: Audit.syncMu before Audit.mu. Log.mu is never held together with another lock.
package store
