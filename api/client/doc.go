// Package client is the api services over HTTP: what a user, a cell and another scheduler
// call a scheduler with.
//
// A call goes to the scheduler that answered last, and to the next one when that one cannot
// be reached, has no leader, lost the outcome of a write, or is overloaded. It is repeated
// with full-jitter back-off until the context or Config.Timeout ends. Repeating is safe
// because every write carries an idempotency key, one that is made here when the caller
// gave none. Any other refusal is an answer, and is returned at once.
//
// Errors are *api.Error, read from the answer's body. What has no body of ours becomes
// no_leader when nothing can have happened, outcome_unknown when a write may have, and
// unauthenticated when TLS says that one side does not trust the other.
package client
