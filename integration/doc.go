// Package integration holds the tests that look at grafOS as a whole: the policy of its
// packages, real processes with real faults, and the checker of the promises.
package integration
