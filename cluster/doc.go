// Package cluster is a scheduler node without its duties: the Raft group, its transport
// and log, who leads, proposals, and reads that are verified. What a leader does is
// cluster/leader, what a user asks is cluster/control; both say what they need of a node
// in small interfaces and never import this package.
//
// Lock order: none is held across a call out of the package. The machine's Apply runs on
// raft's own goroutine and takes no lock of a Node.
package cluster
