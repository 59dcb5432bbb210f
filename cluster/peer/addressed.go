package peer

import (
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/rumor"
)

// addresses is where the members' Raft is, as they say themselves. The configuration may be
// older, and nobody can change it while the members do not reach one another.
type addresses struct {
	known atomic.Pointer[map[raft.ServerID]raft.ServerAddress]
}

// learn takes what gossip says of those that live.
func (a *addresses) learn(members []rumor.Member) {
	known := make(map[raft.ServerID]raft.ServerAddress, len(members))
	for _, m := range members {
		if m.Alive && m.RaftAddr != "" {
			known[raft.ServerID(m.Node)] = raft.ServerAddress(m.RaftAddr)
		}
	}
	a.known.Store(&known)
}

// of returns where a member is; configured is what the group agreed on.
func (a *addresses) of(id raft.ServerID, configured raft.ServerAddress) raft.ServerAddress {
	if known := a.known.Load(); known != nil {
		if at, ok := (*known)[id]; ok {
			return at
		}
	}
	return configured
}

// AppendEntries sends to where the member is, unless this node is hushed.
func (t *Transport) AppendEntries(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := t.herald.sending(id, at, args)
	err := t.append(id, at, args, resp)
	sent(resp, err)
	return err
}

// append has the answer counted (witness.go), or that there is none.
func (t *Transport) append(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := t.witness.sending(id, args)
	err := errHushed
	if !t.quiet.silent(args.Term) {
		err = t.Link.AppendEntries(id, t.where.of(id, at), args, resp)
	}
	sent(resp, err)
	return t.answered(id, at, err)
}

// answered takes note of a member that answered.
func (t *Transport) answered(id raft.ServerID, at raft.ServerAddress, err error) error {
	if err == nil {
		t.unreached.reached(id, at)
	}
	return err
}

// AppendEntriesPipeline is not offered: a pipeline would speak for a node that is hushed, and
// can wedge a follower for ever after a disk stall (hashicorp/raft issue 612).
func (*Transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// RequestVote sends to where the member is.
func (t *Transport) RequestVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.answered(id, at, t.Link.RequestVote(id, t.where.of(id, at), args, resp))
}

// RequestPreVote sends to where the member is.
func (t *Transport) RequestPreVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.answered(id, at, t.Link.RequestPreVote(id, t.where.of(id, at), args, resp))
}

// InstallSnapshot sends to where the member is.
func (t *Transport) InstallSnapshot(
	id raft.ServerID, at raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	return t.Link.InstallSnapshot(id, t.where.of(id, at), args, resp, data)
}

// TimeoutNow sends to where the member is.
func (t *Transport) TimeoutNow(id raft.ServerID, at raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.Link.TimeoutNow(id, t.where.of(id, at), args, resp)
}
