// Package leader is what a scheduler does while it leads, as one function: Run. It rebuilds
// its memory from the state behind a barrier, opens the gate, decides admissions and groups
// them into log entries, proposes what time makes due, judges the health of cells, and has
// stopped all of it when it returns.
//
// Nothing here is the only copy of anything that was acknowledged: what is lost with a
// leader is at most a question whose asker asks the next one with the same idempotency key.
package leader
