// Package gossip lets the schedulers find one another and share what each has seen of the
// cells, over memberlist, encrypted, and closed to other clusters.
//
// It is a hint and nothing more: nothing is placed, revoked or expired on gossip alone. Two
// things travel. Each scheduler's Meta says where it can be reached and whether it has a
// cluster's state; and its Table says how long ago it heard each cell. Ages travel as ages,
// never as wall times: a receiver subtracts them from its own monotonic clock, so clocks
// that disagree change nothing, and what a message spends on its way makes a cell look
// younger by that much and no more.
//
// A scheduler tells only what it saw itself. Each digest has a number; a receiver ignores
// what is numbered below what it has. The whole table goes with memberlist's push/pull, a
// transition (a session opened or lost, a cell heard for the first time or found stuck) at
// once in a packet.
package gossip
