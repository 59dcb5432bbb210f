// Package history records what clients asked and were told, with the times of both, and says
// whether one sequential scheduler could have answered like that: whether there is an order
// of the operations, each at some moment between its call and its return, in which every
// answer is right (linearizability, checked by porcupine).
//
// There are two models, both small. A lease is its state, generation and epoch: a verified
// read tells exactly those, an acknowledged renewal or end is seen by every read that began
// later. A tenant is how many leases it holds: never more than its quota.
//
// An operation whose outcome was never learned stays open: it may have happened at any time
// since its call, or not at all. A stale read may be old; what it says must be what that index
// held, and no scheduler may go back.
package history
