// Package gossip lets the schedulers find one another and carries what they tell (package
// rumor), over memberlist, encrypted, and closed to other clusters.
//
// The whole table goes with memberlist's push/pull, a transition (a session opened or lost, a
// cell heard for the first time or found stuck) at once in a packet.
package gossip
