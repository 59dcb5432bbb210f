package wire

import (
	"context"
	"crypto/tls"
	"io"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// Raft sends to an address whatever it means for a member, and takes the answer for that
// member's. A scheduler that lost its disk comes back under another id at the same address:
// it would then be asked for the vote of the one that it replaces, which has forgotten what
// it gave. So every connection is opened to an id, as an ALPN protocol: a scheduler with
// another id refuses the handshake.

// watchProtocol is the protocol of a leader watch, which is about a process, whoever it is.
const watchProtocol = "grafos-watch"

// protocol is the protocol of what is meant for one scheduler.
func protocol[T ~string](id T) string { return "grafos-raft/" + string(id) }

// envelope is the address under which raft's transport keeps its connections to a member.
func envelope(id raft.ServerID, at raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + "@" + at
}

// opened is who and where an envelope is for.
func opened(to raft.ServerAddress) (id, at string) {
	id, at, _ = strings.Cut(string(to), "@")
	return id, at
}

// AppendEntries sends to the member id only.
func (l *Link) AppendEntries(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return again(func() error { return l.NetworkTransport.AppendEntries(id, envelope(id, at), args, resp) })
}

// AppendEntriesPipeline is AppendEntries without waiting for each answer.
func (l *Link) AppendEntriesPipeline(id raft.ServerID, at raft.ServerAddress) (raft.AppendPipeline, error) {
	return l.NetworkTransport.AppendEntriesPipeline(id, envelope(id, at))
}

// RequestVote sends to the member id only.
func (l *Link) RequestVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return again(func() error { return l.NetworkTransport.RequestVote(id, envelope(id, at), args, resp) })
}

// RequestPreVote sends to the member id only.
func (l *Link) RequestPreVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return again(func() error { return l.NetworkTransport.RequestPreVote(id, envelope(id, at), args, resp) })
}

// InstallSnapshot sends to the member id only.
func (l *Link) InstallSnapshot(
	id raft.ServerID, at raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	return l.NetworkTransport.InstallSnapshot(id, envelope(id, at), args, resp, data)
}

// TimeoutNow sends to the member id only.
func (l *Link) TimeoutNow(id raft.ServerID, at raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return again(func() error { return l.NetworkTransport.TimeoutNow(id, envelope(id, at), args, resp) })
}

// Answers reports whether the scheduler id answers at an address: its process runs, whatever
// it is able to do.
func Answers(ctx context.Context, client *tls.Config, id api.NodeID, at string) bool {
	conn, err := dialTLS(ctx, client, at, protocol(id))
	if err != nil {
		return false
	}
	closeQuietly(conn)
	return true
}
