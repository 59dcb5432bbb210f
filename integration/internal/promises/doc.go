// Package promises is the checker from the outside: it holds what clients were told against
// the state, the fingerprints and the audit chain of every scheduler. It knows nothing of how
// the clients or the cluster were treated meanwhile.
package promises
