// Package mutant names deliberate faults. They exist to prove that the tests would find them:
// a build with the tag "mutants" has one of them, the one that GRAFOS_MUTANT names, and make
// mutants demands that some test fails with each. In every other build On is false, and the
// compiler leaves nothing of them.
package mutant

// Fault is one deliberate fault.
type Fault string

// The faults, and the promise that each one breaks.
const (
	// AckBeforeCommit answers the end of a lease before its entry is committed (L3).
	AckBeforeCommit Fault = "ack-before-commit"
	// ForgetKeys loses the idempotency keys when a snapshot is restored (L5, L10).
	ForgetKeys Fault = "forget-keys-at-restore"
	// QuotaByOne lets a tenant hold one lease too many (L2).
	QuotaByOne Fault = "quota-off-by-one"
	// CapacityByOne lets a cell be filled beyond its capacity (L1).
	CapacityByOne Fault = "capacity-overbooked"
	// SkipCellEpoch commits a decision that was made for an agent of before (L4).
	SkipCellEpoch Fault = "skip-cell-epoch"
	// StaleRead serves a linearizable read from what this scheduler happens to have.
	StaleRead Fault = "stale-read"
	// SkipVerify answers a read index without asking a quorum.
	SkipVerify Fault = "skip-verify"
	// TrustStandstill takes answers for new that were under way while the process stood still.
	TrustStandstill Fault = "trust-standstill"
	// StaleAge says that the state of a leader that stood still is new.
	StaleAge Fault = "stale-age"
	// VerifyCountsSpares takes the answers of members without a vote for those of voters.
	VerifyCountsSpares Fault = "verify-counts-spares"
	// VerifyOldAnswer takes answers for new whose questions were asked before the read began.
	VerifyOldAnswer Fault = "verify-old-answer"
	// SkipBarrier opens the gate of a leader that has not applied what was committed.
	SkipBarrier Fault = "skip-barrier"
	// GiveEarly gives a resource again before its cell must have stopped (L4).
	GiveEarly Fault = "give-again-early"
	// WallTicks takes cluster time from the wall clock.
	WallTicks Fault = "time-from-wall-clock"
	// LongToken mints tokens that live one second longer than their lease (L7).
	LongToken Fault = "token-outlives-lease"
	// OldToken takes a token of a generation that a renewal has voided (L7).
	OldToken Fault = "old-generation-served"
	// ServeLate has a cell serve whoever comes after a lease's end before its timer has rung (L6, L7).
	ServeLate Fault = "served-past-deadline"
	// KeepRevoked has a cell keep a lease whose end it has heard of, until its deadline (L6).
	KeepRevoked Fault = "revoked-lease-kept"
	// GossipVerdict declares a cell unhealthy without asking anybody.
	GossipVerdict Fault = "verdict-from-gossip"
	// KeepGeneration renews a lease without voiding the tokens of before (L7).
	KeepGeneration Fault = "renew-keeps-generation"
	// SilentRenewal leaves a renewal out of the audit chain (L9).
	SilentRenewal Fault = "renewal-not-audited"
	// FinaliseTwice finalises a run each time that one of its leases ends (L8).
	FinaliseTwice Fault = "finalise-twice"
	// OldStamp has a cell apply a grant that was long under way (L4).
	OldStamp Fault = "cell-takes-old-grant"
	// EarlyEnd has a cell report a lease torn down before it is (L4, L6).
	EarlyEnd Fault = "torndown-before-it-is"
	// LateEnd has a cell keep a lease past its deadline (L6).
	LateEnd Fault = "lease-outlives-deadline"
	// ForgetFloor has a cell take grants that are not newer than what it has accepted (L4).
	ForgetFloor Fault = "forget-floor"
	// BlindLog takes a log entry whose checksum does not match (L3).
	BlindLog Fault = "log-checksum-ignored"
	// ForgetVote does not save whom a scheduler voted for.
	ForgetVote Fault = "vote-not-saved"
	// HeraldAhead tells a follower that what it confirmed is committed, whoever else holds it (L3).
	HeraldAhead Fault = "herald-ahead-of-commit"
	// HungTalks has a leader whose disk hangs go on talking to its followers.
	HungTalks Fault = "hung-leader-talks"
	// StandAlone has a follower stand for election when nobody but it hears the leader no more.
	StandAlone Fault = "stands-when-alone-deaf"
	// CommitUnproven commits what a follower has and its leader may not (L3, L10).
	CommitUnproven Fault = "commit-unproven"
)

// All lists the faults.
func All() []Fault {
	return []Fault{
		AckBeforeCommit, ForgetKeys, QuotaByOne, CapacityByOne, SkipCellEpoch, StaleRead, SkipVerify, SkipBarrier, GiveEarly, WallTicks,
		LongToken, GossipVerdict, KeepGeneration, SilentRenewal, FinaliseTwice, OldStamp, EarlyEnd, LateEnd, BlindLog, ForgetVote,
		CommitUnproven, TrustStandstill, StaleAge, VerifyCountsSpares, VerifyOldAnswer, HeraldAhead, HungTalks, StandAlone,
		OldToken, ServeLate, KeepRevoked, ForgetFloor,
	}
}
