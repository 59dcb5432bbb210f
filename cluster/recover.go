package cluster

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// A group that has lost its quorum for good is made again from what one member has. The
// member becomes another one: under its old id the dead could still reach it, should they come
// back. What was committed on the others alone is lost, and so the recovered state is of a new
// cluster epoch, in which no fencing number, and no index, is used again.

// indexJump is how far a recovery moves the index ahead: cells and readers hold on to the
// newest that they saw, which the recovered log may lack.
const indexJump = 1 << 24

// keyTerm is raft's own name for the current term.
const keyTerm = "CurrentTerm"

// Kept is what storage holds.
type Kept struct {
	FirstIndex    uint64 `json:"first_index"` // of the log; 0 is an empty one
	LastIndex     uint64 `json:"last_index"`  // of the log, or of the snapshot
	LastTerm      uint64 `json:"last_term"`
	Term          uint64 `json:"term"`
	SnapshotIndex uint64 `json:"snapshot_index"`
	SnapshotTerm  uint64 `json:"snapshot_term"`
	// Members is the newest configuration, committed or not.
	Members []api.Peer `json:"members"`
}

// Newer reports whether k has what o has, and more: by raft's own rule.
func (k Kept) Newer(o Kept) bool {
	return k.LastTerm > o.LastTerm || k.LastTerm == o.LastTerm && k.LastIndex > o.LastIndex
}

// Inspect reads what storage holds, without raft.
func Inspect(s *Storage) (Kept, error) {
	var k Kept
	var servers []raft.Server
	metas, err := s.Snapshots.List()
	if err != nil {
		return k, fmt.Errorf("list snapshots: %w", err)
	}
	if len(metas) > 0 {
		k.SnapshotIndex, k.SnapshotTerm = metas[0].Index, metas[0].Term
		k.LastIndex, k.LastTerm, servers = metas[0].Index, metas[0].Term, metas[0].Configuration.Servers
	}
	if k.Term, err = s.Stable.GetUint64([]byte(keyTerm)); err != nil {
		k.Term = 0 // raft, too, takes a key that was never set for 0
	}
	if k.FirstIndex, err = s.Log.FirstIndex(); err != nil {
		return k, fmt.Errorf("read raft log: %w", err)
	}
	last, err := s.Log.LastIndex()
	if err != nil {
		return k, fmt.Errorf("read raft log: %w", err)
	}
	for i := k.FirstIndex; i <= last && i > 0; i++ {
		var e raft.Log
		if err := s.Log.GetLog(i, &e); err != nil {
			return k, fmt.Errorf("read entry %d: %w", i, err)
		}
		if e.Index > k.LastIndex {
			k.LastIndex, k.LastTerm = e.Index, e.Term
		}
		if e.Type == raft.LogConfiguration && e.Index > k.SnapshotIndex {
			servers = raft.DecodeConfiguration(e.Data).Servers
		}
	}
	for _, m := range servers {
		k.Members = append(k.Members, api.Peer{Node: api.NodeID(m.ID), RaftAddr: string(m.Address), Voter: m.Suffrage == raft.Voter})
	}
	return k, nil
}

// Recovery says how a group is made again.
type Recovery struct {
	Machine *fsm.Machine
	// Node and Addr are the one member of the new group: a new id.
	Node api.NodeID
	Addr string
	Wall int64 // Unix ms
	// Entry is what the log says of it. Its index and term are filled in.
	Entry fsm.Recovered
	// Revoked are revocations that some member knew of: the new group has them too.
	Revoked []fsm.BarCell
}

// Recover makes a group of one from what storage holds: all of it is taken for committed, the
// recovery is applied as an entry after it, and the result becomes a snapshot whose
// configuration is the new group. A crash leaves what was there, or the new group.
func Recover(s *Storage, r Recovery) (*fsm.View, error) {
	k, err := Inspect(s)
	if err != nil {
		return nil, err
	}
	if k.LastIndex == 0 {
		return nil, api.Refuse(api.NotFound, "there is no data of a cluster to recover from")
	}
	m := &machine{Machine: r.Machine}
	if err := replay(s, m, k); err != nil {
		return nil, err
	}
	r.Entry.Index, r.Entry.Term = k.LastIndex, k.LastTerm
	index, term := k.LastIndex+indexJump, max(k.Term, k.LastTerm)+1
	if err := applyAlone(m, index, term, fsm.Entry{Wall: r.Wall, Commands: []fsm.Command{r.Entry}}); err != nil {
		return nil, err
	}
	bars, err := barAgain(m.View(), max(m.View().Level(), barLevel()), r.Revoked)
	if err != nil {
		return nil, err
	}
	for _, entry := range bars {
		index++
		if err := applyAlone(m, index, term, fsm.Entry{Wall: r.Wall, Commands: entry}); err != nil {
			return nil, err
		}
	}
	if err := s.Stable.SetUint64([]byte(keyTerm), term); err != nil {
		return nil, fmt.Errorf("begin term %d: %w", term, err)
	}
	group := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(r.Node), Address: raft.ServerAddress(r.Addr),
	}}}
	if err := writeSnapshot(s, m, index, term, group); err != nil {
		return nil, err
	}
	if k.FirstIndex > 0 {
		last, err := s.Log.LastIndex()
		if err != nil {
			return nil, fmt.Errorf("empty the log: %w", err)
		}
		if err := s.Log.DeleteRange(k.FirstIndex, last); err != nil {
			return nil, fmt.Errorf("empty the log: %w", err)
		}
	}
	return m.View(), nil
}

// replay applies everything that storage holds.
func replay(s *Storage, m *machine, k Kept) error {
	if k.SnapshotIndex > 0 {
		metas, err := s.Snapshots.List()
		if err != nil {
			return fmt.Errorf("list snapshots: %w", err)
		}
		_, r, err := s.Snapshots.Open(metas[0].ID)
		if err != nil {
			return fmt.Errorf("open snapshot %s: %w", metas[0].ID, err)
		}
		if err := m.Restore(r); err != nil {
			return fmt.Errorf("read snapshot %s: %w", metas[0].ID, err)
		}
	}
	for i := max(k.SnapshotIndex+1, k.FirstIndex); i <= k.LastIndex; i++ {
		var e raft.Log
		if err := s.Log.GetLog(i, &e); err != nil {
			return fmt.Errorf("read entry %d: %w", i, err)
		}
		if e.Type != raft.LogCommand {
			continue
		}
		if err, failed := m.Apply(&e).(error); failed {
			return fmt.Errorf("apply entry %d: %w", i, err)
		}
	}
	return nil
}

// applyAlone applies an entry that is in no log. What it refuses is the error.
func applyAlone(m *machine, index, term uint64, e fsm.Entry) error {
	b, err := fsm.EncodeEntry(e)
	if err != nil {
		return err
	}
	switch out := m.Apply(&raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: bytes.Clone(b)}).(type) {
	case error:
		return out
	case []fsm.Result:
		for _, res := range out {
			if res.Problem != nil {
				return res.Problem
			}
		}
		return nil
	}
	return errors.New("the state machine answered nothing")
}

func writeSnapshot(s *Storage, m *machine, index, term uint64, group raft.Configuration) error {
	sink, err := s.Snapshots.Create(raft.SnapshotVersionMax, index, term, group, index, nil)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	snapshot, err := m.Snapshot()
	if err != nil {
		return errors.Join(fmt.Errorf("take snapshot: %w", err), sink.Cancel())
	}
	defer snapshot.Release()
	if err := snapshot.Persist(sink); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}
