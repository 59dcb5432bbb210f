// Package pilot keeps the members of the Raft group right, on the leader: it adds who asks,
// gives a vote to who is stable and has caught up, moves who changed its address, and removes
// who is dead once somebody stands in for it. hashicorp/raft-autopilot watches the members
// and applies the changes; what may be changed, and when, is decided here.
//
// Gossip proposes: it says who is there and what it says of itself. Before anything is done
// about a scheduler it is asked itself, over mutual TLS, by the address that it named.
//
//   - A scheduler that asks is added as a non-voter. One that comes to the address of a member
//     that is dead takes its place: two members never have one address.
//   - A non-voter gets a vote when fewer than the wanted number of voters are healthy, it has
//     itself been healthy for as long as Stable, and it holds every blob and audit record: a
//     vote vouches for them too. Until then it is a spare, which costs no quorum.
//   - A voter that has been dead for Stable is removed when as many healthy ones as wanted are
//     left without it: one at a time, and not before the one before has been gone for Stable.
package pilot
