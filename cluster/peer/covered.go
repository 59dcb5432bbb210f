package peer

import (
	"slices"

	"github.com/hashicorp/raft"
)

// A follower that took a snapshot holds nothing in its log up to there. When the answer to the first
// append behind the snapshot is lost, the leader repeats it, and raft (v1.8.0) refuses it: it has
// that append by now, and cannot look up the entry before it. The leader goes back, one entry at a
// time, to the snapshot.

// covered takes out of a leader's request what this follower has applied. That is committed, so
// every leader of this term or a later one has the same: nothing of it need be looked up, and
// what is left follows on it. A request without an entry before it is not checked by raft.
func (t *Transport) covered(rpc raft.RPC) raft.RPC {
	r := t.raft.Load()
	q, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || r == nil || q.PrevLogEntry == 0 {
		return rpc
	}
	applied := r.AppliedIndex()
	if q.PrevLogEntry > applied || q.PrevLogEntry >= r.LastIndex() {
		return rpc // as all but those that are repeated
	}
	less := *q // the request may be its sender's
	less.PrevLogEntry, less.PrevLogTerm = 0, 0
	if i := slices.IndexFunc(q.Entries, func(e *raft.Log) bool { return e.Index > applied }); i >= 0 {
		less.Entries = q.Entries[i:]
	} else {
		less.Entries = nil
	}
	rpc.Command = &less
	return rpc
}
