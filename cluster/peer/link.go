package peer

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// Link is how a node reaches the other members' Raft, and what it knows of the processes
// there. cluster/wire is the real one. What is sent to a member reaches that member or
// nobody: never another scheduler that came to its address.
type Link interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
	Watch
}

// Watch tells a process that is gone from one that is only not heard.
type Watch interface {
	// Hold keeps a silent connection to the process at an address and returns when it has
	// ended, with the name of the process. held is called once the connection stands. ended is
	// false when there never was one, or when ctx ended it.
	Hold(ctx context.Context, at raft.ServerAddress, held func()) (process string, ended bool)
	// Refused reports whether nobody listens at an address any more.
	Refused(ctx context.Context, at raft.ServerAddress) bool
	// Gone waits at most d for the last connection that a process holds to this one to end, and
	// reports whether it did.
	Gone(ctx context.Context, process string, d time.Duration) bool
}
