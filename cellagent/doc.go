// Package cellagent is a cell: one agent process on one host. It dials out to the schedulers,
// says what the host can hold, and makes the desired set of leases and runs true: bindings
// opened, tokens minted, tasklets run, everything torn down on time.
//
// How it is cut:
//
//	register.go  sessions.go  watch.go    the way to the schedulers: one session, one warm standby
//	roster.go  fleet.go                   which schedulers there are, and any of them, for what needs no session
//	reporter.go  outbox.go                the way up: a report in flight, two where much happens, kept until committed
//	reconcile.go                          pure: what is desired and what is held -> what to do
//	keeper.go  teardown.go  expiry.go
//	accept.go  graveyard.go               who holds the leases: binds, renews, ends, fences
//	runs.go  modules.go  artifacts.go     a run: fetch, execute, store, report
//	dataplane.go                          HTTPS for the holders of capability tokens
//	clock.go  capacity.go  deps.go        what it needs of its host, in interfaces
//	*_linux.go                            this host: CLOCK_BOOTTIME, hardware, directory, and Open, which ties them together
//
// What always holds, and the promise of the product that it serves:
//
//   - C1 (L4) A lease's deadline is min(receipt, stamp + delivery bound) + TTL on CLOCK_BOOTTIME
//     and moves only with its generation. The wall clock has no part in it.
//   - C2 (L4) A grant or renewal whose stamp is of another boot, or older than the delivery bound,
//     is never applied.
//   - C3 (L6) At its deadline a lease ends on the cell's own clock, whoever can be reached.
//   - C4 (L4) A lease is reported torndown only after its binding is closed and, for a run's
//     lease, after the worker is dead. What does not close in time is reported fenced and stays taken.
//   - C5 (L7) A token is minted for a lease that is bound, in its present generation, for no
//     longer than the lease has left, and leaves the agent in a report only.
//   - C7 (L4) Nothing is bound, and no deadline moved, that is not in the ledger; what is not newer than
//     the floor there, and unknown, is refused. A fence is on the disk before anybody hears of it.
//   - C6 (L8) A run's result goes out no later than the end of the last of its leases, and is kept
//     until it is committed or refused.
//
// Lock order: keeper.mu before outbox.mu and the ledger's. None is held over I/O, but for a write of
// the ledger to the kernel, which waits for no disk.
package cellagent
