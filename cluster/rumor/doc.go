// Package rumor is what the schedulers tell one another outside the log: where each can be
// reached (Meta), and how long ago each has heard each cell (Table). It is carried by
// cluster/gossip, and by direct questions before a verdict.
//
// It is a hint and nothing more: nothing is placed, revoked or expired on it alone. Ages
// travel as ages, never as wall times: a receiver subtracts them from its own monotonic
// clock, so clocks that disagree change nothing, and what a message spends on its way makes
// a cell look younger by that much and no more.
//
// A scheduler tells only what it saw itself. Each digest has a number; a receiver ignores
// what is numbered below what it has.
package rumor
