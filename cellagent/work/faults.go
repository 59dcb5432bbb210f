package work

// What can go wrong on purpose at the data plane of a cell, for tests.
const (
	// FaultServesEnded serves what has ended, and takes tokens that ran out.
	FaultServesEnded = "serves-ended"
	// FaultOldTokens takes tokens of an older generation.
	FaultOldTokens = "takes-old-tokens"
	// FaultAnyToken takes any text for the token that it took last.
	FaultAnyToken = "takes-any-token"
	// FaultNoProof wants no proof of a holder.
	FaultNoProof = "wants-no-proof"
)

// What can go wrong with gpus and with the network.
const (
	// FaultOtherGPU names the gpu behind the one that a lease has.
	FaultOtherGPU = "names-another-gpu"
	// FaultOneGPU names the first gpu for every lease.
	FaultOneGPU = "names-the-first-gpu"
	// FaultAnywhere connects to what is not in the allow-list.
	FaultAnywhere = "connects-anywhere"
	// FaultKeepsFlows leaves connections open behind their lease.
	FaultKeepsFlows = "keeps-flows"
)

// FaultKnownKey signs tokens with a key that a test can make too: of the SHA-256 of the cell's name. So it
// can show what no broker would sign.
const FaultKnownKey = "known-key"
