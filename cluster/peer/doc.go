// Package peer is how a member of the Raft group speaks to its peers and hears them, between raft
// and the network:
//
//	what raft sends and takes, with our changes            transport.go, link.go
//	where a member is, by gossip                           addressed.go
//	a leader that says nothing since its disk hangs        hush.go
//	followers hear at once what is committed               herald.go
//	whom raft does not reach, said once                    unreached.go
//	who still follows, for linearizable reads              witness.go
//	what of a leader's request is taken out, and why       proven.go, covered.go
//
// It knows nothing of the node: what is to be said and when is decided there.
package peer
