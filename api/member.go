package api

import (
	"strings"
	"time"
)

// MemberState is what one scheduler tells another of its place in the Raft group.
type MemberState struct {
	Node      NodeID `json:"node_id"`
	ClusterID string `json:"cluster_id"`
	URL       string `json:"url"`
	RaftAddr  string `json:"raft_addr"`
	Version   string `json:"version"`
	// Level is the newest feature level that it knows.
	Level uint32 `json:"newest_level"`
	// Epoch is the cluster epoch of its state: it counts recoveries and restores.
	Epoch uint64 `json:"cluster_epoch"`
	// Asks: it is no member, and asks to be one.
	Asks bool `json:"asks"`
	// Leads: a quorum confirmed just now that it leads. Follows: it follows a leader, or waits
	// for one, and stands for election itself no more than that.
	Leads   bool `json:"leads"`
	Follows bool `json:"follows"`
	// Holds: a connection of its own to its leader's process is open.
	Holds     bool   `json:"holds_leader"`
	Term      uint64 `json:"term"`
	LastIndex uint64 `json:"last_index"`
	LastTerm  uint64 `json:"last_term"` // of the entry at LastIndex
	Applied   uint64 `json:"applied_index"`
	// LastContactMs is for how long it has not heard its leader.
	LastContactMs int64 `json:"last_contact_ms"`
	// Behind counts the blobs and audit records that it still has to fetch from the others.
	Behind int `json:"behind"`
	// Prints are fingerprints of its state at the indexes that all keep, and of the newest,
	// oldest first.
	Prints []Fingerprint `json:"prints"`
	// Members is the group's configuration as it knows it, at ConfigIndex.
	ConfigIndex uint64 `json:"config_index"`
	Members     []Peer `json:"members"`
}

// Dismissal says who has a scheduler removed, when and why, as far as that is known.
type Dismissal struct {
	Actor  string    `json:"actor,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// String says it behind "was removed": " by operator/alice at 2026-11-02T10:00:00Z: back to three".
func (d Dismissal) String() string {
	var b strings.Builder
	if d.Actor != "" {
		b.WriteString(" by " + d.Actor)
	}
	if !d.At.IsZero() {
		b.WriteString(" at " + d.At.UTC().Format(time.RFC3339))
	}
	if d.Reason != "" {
		b.WriteString(": " + d.Reason)
	}
	return b.String()
}

// RaftMember is a member of the Raft group as its leader sees it.
type RaftMember struct {
	Node    NodeID `json:"node_id"`
	Name    string `json:"name"`
	Address string `json:"address"` // of its Raft
	URL     string `json:"url"`
	Role    string `json:"role"` // leader, follower; "" of one that is not reached
	Voter   bool   `json:"voter"`
	// Healthy: it answers, hears its leader and has caught up; Since is when that changed last.
	Healthy bool      `json:"healthy"`
	Since   time.Time `json:"since"`
	// LastContactMs is for how long it had not heard its leader; -1 where it does not answer.
	LastContactMs int64  `json:"last_contact_ms"`
	LastIndex     uint64 `json:"last_index"`
	Applied       uint64 `json:"applied_index"`
	Behind        int    `json:"behind"` // blobs and audit records that it still has to fetch
	Version       string `json:"version"`
	Level         uint32 `json:"newest_level"` // that it knows; 0 where it is not known
}

// RaftMembers answers operator raft list.
type RaftMembers struct {
	Index  uint64 `json:"index"`
	Leader NodeID `json:"leader"`
	Term   uint64 `json:"term"`
	// Level is the cluster's feature level: nothing above it is written.
	Level uint32 `json:"level"`
	// Wanted is how many voters the group is kept at, Tolerates how many of the healthy ones
	// may fail.
	Wanted    int `json:"voters_wanted"`
	Tolerates int `json:"failures_tolerated"`
	// Differs says in which way the states of the members differ. It is empty.
	Differs string       `json:"differs,omitempty"`
	Members []RaftMember `json:"members"`
}

// RaftTransferRequest names the next leader; "" is the voter that is furthest.
type RaftTransferRequest struct {
	To NodeID `json:"to,omitempty"`
}

// RaftTransfer answers operator raft transfer.
type RaftTransfer struct {
	// From is who led; left out of a repeated answer: it is not kept.
	From NodeID `json:"from,omitempty"`
	// To is who leads, or, of a dry run, would: left out where nobody is known to be healthy yet.
	To   NodeID `json:"to,omitempty"`
	Term uint64 `json:"term"`
	// Repeated: it was done before under the same key.
	Repeated bool `json:"repeated,omitempty"`
}

// idSuffix is the length of what a scheduler's id has behind its name: a dash and six random
// characters, made anew with every data directory.
const idSuffix = 7

// SchedulerName is the name in a scheduler's id: "s1" of "s1-k3x9qa".
func SchedulerName(id NodeID) string {
	s := string(id)
	if i := len(s) - idSuffix; i > 0 && strings.LastIndexByte(s, '-') == i {
		return s[:i]
	}
	return s
}
