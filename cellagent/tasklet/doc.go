// Package tasklet runs WebAssembly modules that nobody trusts, in child processes of the
// cell agent.
//
// # Shape
//
//	Runner.Run -> pool -> worker process --frames--> engine (wazero) -> guest
//	             (agent)  (one socketpair)           (child)
//
// The agent never parses, compiles or runs a module. A worker is the agent's own binary,
// executed again; it serves one tenant in its life and one run at a time. It may stay warm
// after a run that ended cleanly: the compiled module stays resident, which is what makes the
// second run fast. A fresh worker loads compiled code from a disk cache of its tenant's own.
//
// # What bounds a run
//
//   - Time: a kernel timer in the worker (CLOCK_BOOTTIME, SIGKILL), armed before guest code is
//     entered. It needs nobody: it fires while the agent is stopped or dead.
//   - The agent's life: the parent-death signal of the thread that starts every worker.
//   - Revocation: SIGKILL to the worker's process group. It is the teardown of record; nothing
//     in this package asks a guest to stop.
//   - Memory: linear memory by an allocator that refuses growth, the rest by RLIMIT_DATA and,
//     where the agent may make control groups, by one for each worker.
//   - Compilation: a CPU-time timer in the worker, since a compiler cannot be cancelled.
//   - Output: a writer that unwinds the guest at the cap.
//
// # What a worker may do
//
// It has no environment, no descriptor but its socket, /dev/null and a pipe for a last word,
// no privilege and none to gain, a small set of system calls, and no file but its tenant's
// code cache. What of that the host really offers is what Runner.Isolation lists.
//
// # Its network
//
// It has none. A guest with a net lease calls grafos_net_v0, and each call goes up as a frame and is
// answered by one: the agent connects, sends and receives for it (work.Net). The guest stands still
// meanwhile, so that a worker that makes a second call is one that was taken over.
package tasklet
