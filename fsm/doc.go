// Package fsm is what grafOS remembers: the replicated state machine.
//
// A Machine applies Raft entries, one after the other, to tables of values: providers,
// cells, tenants, leases, runs, blob references, idempotency keys and used tokens. One
// command is one file. Apply is total and pure: it reads no clock, no randomness and no
// map order; time, ids and randomness arrive inside the entry. What it refuses it refuses
// with a typed problem and without having changed anything; an entry it cannot decode
// stops the node. Everybody else reads a View: the whole state after one entry, immutable,
// which shares all that did not change with the one before (internal/cow).
//
// Leases, runs and idempotency keys have a compact form (record.go), which is what the
// fingerprint hashes and a snapshot holds; leases and keys are kept as it, too. The commands
// that a busy log is made of are read and written by hand (hot_decode.go), to the bytes that
// the codec makes. What every member of a cluster can read is its feature level (level.go).
//
// Cluster time is max(previous, min(proposed, previous+MaxStep)) and decides everything;
// wall clocks are for display.
//
// The invariants, which Check recomputes the slow, obvious way, and the promise each serves:
//
//	I1 (L1)  on every cell, the non-terminal and fenced leases fit into its capacity, in every
//	         dimension; where the inventory shrank under them, into what they held then
//	I2 (L2)  a tenant's non-terminal leases fit into its quota; where the quota was lowered
//	         under them, into what they held then
//	I3       every index and every sum says what the records say
//	I4 (L4)  every lease has an epoch of its own, at most the newest that was given
//	I5 (L4)  a lease that has not ended is due once, and has ended by StoppedBy at the latest
//	         when it is advanced; one that has ended has the tick of its end
//	I6 (L8)  a run has its result exactly when its state is terminal, and is finalised exactly
//	         when it has its result and all its leases are terminal
//	I7       a run that is placed or running has its leases, on its cell, and at least one of
//	         them has not ended; one that waits to be placed again has none and no cell
//	I8 (L9)  the audit head is a link of a chain: a sequence with a hash, or none at all
//	I9 (L5)  every idempotency key names an outcome at or below the applied index
//	I10      the cell, provider and tenant that a live record names exist
//
// L3 and L10 are Raft's, given that the same entries make the same state: the rolling
// fingerprint proves it, being a hash over every table change since the beginning. A recovery
// from the loss of a quorum may break L3; it jumps the fencing numbers ahead, so that it does
// not break L4 (recovered.go). Package fsmcheck checks the promises again, entry by entry,
// from what Options.Applied is told.
//
// Lock order: Machine.mu is the only lock; it is never held while a callback runs.
package fsm
