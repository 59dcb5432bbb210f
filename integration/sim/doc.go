// Package sim runs a whole cluster in one process and in fake time: schedulers, cells and
// clients are the real code, and what lies between and below them is simulated here: the
// network (delay, loss, duplication, reordering, cuts of one direction), the disks (writes
// lost before their sync, torn batches, errors, no space), the processes (killed, or standing
// still beyond their timers), and the tasklets, which sleep.
//
// A World lives in one testing/synctest bubble. Its faults come from a seed, and the promises
// of the product are checked while it runs: after every applied entry for what can be told
// from the change, and now and then for the whole state. Safety and liveness are two phases:
// faults first; then everything is healed, and all that was begun must come to its end in
// bounded time.
//
// The same seed makes the same faults everywhere. It makes the same run, byte for byte, where
// the scheduler of goroutines is seeded too: built for wasip1 and run by the program in
// replay, which prints the hash of everything that happened.
package sim
