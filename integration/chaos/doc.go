// Package chaos holds the tests that treat a real cluster as the world does: processes that
// are killed or stand still, networks that split, lose, double and delay, disks that are full,
// slow, broken, rotten or without power. Meanwhile clients ask for leases and remember every
// answer; afterwards a checker says whether one correct scheduler could have given them.
//
// Which faults, in which order, at whom and for how long follows from a seed (plan_test.go);
// when exactly they strike does not. Every fault is a phase: it strikes, it holds, it is
// healed, and then the cluster must be as good as before within a bound (run_test.go). The
// clients (lessor, reader, follower) know nothing of the faults.
package chaos
