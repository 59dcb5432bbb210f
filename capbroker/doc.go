// Package capbroker mints and verifies capability tokens: what a holder presents on every
// data-plane operation of a lease.
//
// A cell has one Broker for as long as its agent lives. The signing key is made in it,
// stays in memory and is never exported, so schedulers cannot forge a token, a token works
// only on the cell that minted it, and a restart voids all of them (L7).
//
// Tokens are PASETO v4.public: one algorithm, nothing to negotiate. The implicit assertion
// is the cluster and the cell, so a token does not verify anywhere else even under the
// same key. A token lives until its lease ends, at most api.MaxTokenLife.
//
// The order of the checks of an operation: Verify takes size, form, key, signature, the links
// of holders, audience, time and the cell's registration; Standing then compares the token with
// the cell's own lease table: lease, epoch, generation, state; Confirm asks whether it is its
// holder who uses it, and Allow looks at the caveats. The table is what decides, so revoking
// needs no list. What never changes of a token is proved at its first use and remembered; all
// the rest is looked at each time.
package capbroker
