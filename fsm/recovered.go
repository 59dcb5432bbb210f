package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// epochJump is how far a recovery moves the fencing numbers ahead: farther than a cluster can
// have given while it was lost, so that none is given twice (L4).
const epochJump = 1 << 32

// maxRecoveries bounds the recoveries that are remembered, to know one that is told again.
const maxRecoveries = 16

// AuditClusterRecovered is the kind of the audit record of a recovery, and of a restore.
const AuditClusterRecovered = "cluster_recovered"

// Recovered says that the cluster was made again from what one node had, after a quorum was
// lost: entries that others had acknowledged may be missing. The recovered node sends it as the
// first entry of its first term.
type Recovered struct {
	ID     string     `json:"recovery_id"` // one of its own for every recovery
	Actor  string     `json:"actor"`
	Node   api.NodeID `json:"node_id"`    // whose log it was
	Index  uint64     `json:"last_index"` // of that log
	Term   uint64     `json:"last_term"`  // of that log
	Reason string     `json:"reason,omitempty"`
	// Report is what a restore answers, for whoever asks for it again. It is in no log entry: a
	// restored state comes as a snapshot, with the record that says so.
	Report *api.RestoreReport `json:"report,omitempty"`
}

// RecoveryFact is what the audit chain says of a recovery.
type RecoveryFact struct {
	ID           string     `json:"recovery_id"`
	Node         api.NodeID `json:"node_id"`
	Index        uint64     `json:"last_index"`
	Term         uint64     `json:"last_term"`
	ClusterEpoch uint64     `json:"cluster_epoch"`
	Before       uint64     `json:"epoch_before"` // the newest fencing number that is known to have been given
	After        uint64     `json:"epoch_after"`
	Reason       string     `json:"reason,omitempty"`
	// Report is what a restore answered; nil of a recovery.
	Report *api.RestoreReport `json:"report,omitempty"`
}

// Kind returns KindRecovered.
func (Recovered) Kind() Kind { return KindRecovered }

// apply begins a new cluster epoch and jumps the fencing numbers ahead. A recovery that was
// told already changes nothing. It refuses with conflict a jump beyond what a number holds.
func (c Recovered) apply(s *State) (Result, *api.Error) {
	if p := first(checkID("recovery id", c.ID), checkText("actor", c.Actor, maxActor), checkText("node id", string(c.Node), maxID),
		checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	if slices.Contains(s.meta.Recoveries, c.ID) {
		return Result{}, nil
	}
	before := s.meta.Epoch
	if before+epochJump < before {
		return Result{}, api.Refuse(api.Conflict, "the newest fencing number is %d: it cannot be moved ahead by %d more", before, uint64(epochJump))
	}
	s.meta.Epoch += epochJump
	s.meta.ClusterEpoch++
	keep := s.meta.Recoveries
	if len(keep) == maxRecoveries {
		keep = keep[1:]
	}
	s.meta.Recoveries = append(slices.Clone(keep), c.ID)
	s.audit(AuditClusterRecovered, c.Actor, subject{}, RecoveryFact{
		ID: c.ID, Node: c.Node, Index: c.Index, Term: c.Term, ClusterEpoch: s.meta.ClusterEpoch,
		Before: before, After: s.meta.Epoch, Reason: c.Reason, Report: c.Report,
	})
	return Result{}, nil
}
