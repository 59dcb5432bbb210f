package api

import "time"

// A cell holds one outbound session to a scheduler: a watch stream of Desired documents
// downward, Reports upward. Both directions are level-triggered: nothing depends on every
// message having been seen.

// Desired is one message of the watch stream, one JSON object a line.
type Desired struct {
	// Index is the applied index of the state that the message was made from.
	Index uint64 `json:"index"`
	// Full says that Leases and Runs are the whole desired set: what the cell holds beyond
	// it is to be torn down. The first message of a session is full, later ones are changes.
	Full   bool    `json:"full,omitempty"`
	Leases []Lease `json:"leases,omitempty"`
	Runs   []Run   `json:"runs,omitempty"`
	// Now is the cluster time of the state, where a lease's announced end is among the news.
	Now Tick `json:"now_tick,omitempty"`
	// Asks are questions to the CapBroker, answered in a report.
	Asks []Ask `json:"asks,omitempty"`
	// Schedulers are the API addresses of the live schedulers, for the warm second session.
	Schedulers []string `json:"schedulers,omitempty"`
	// HeartbeatMs and LimitMs are the timers of the fleet as it is now, where they are news.
	HeartbeatMs int64 `json:"heartbeat_ms,omitempty"`
	LimitMs     int64 `json:"limit_ms,omitempty"`
	// Epoch is the newest fencing number that was given, ClusterEpoch the cluster's, in the state that
	// the message was made from: a cell that has taken a set takes none with lower ones any more. Both
	// are 0 where the message says nothing of it.
	Epoch        uint64 `json:"epoch,omitempty"`
	ClusterEpoch uint64 `json:"cluster_epoch,omitempty"`
	// Fences says that Fenced is every fence of the cell that was not lifted, as the state has it.
	Fences bool    `json:"fences,omitempty"`
	Fenced []Lease `json:"fenced,omitempty"`
	// Closing says why the scheduler ends the session after this message; "" is no end.
	Closing string `json:"closing,omitempty"`
}

// Ask asks a cell for a fresh capability token of a lease, or for an operation on its bytes.
type Ask struct {
	ID         string  `json:"ask_id"`
	LeaseID    LeaseID `json:"lease_id"`
	Generation uint64  `json:"generation"`
	// Data asks for an operation on the lease's bytes instead of a token.
	Data *DataAsk `json:"data,omitempty"`
}

// Heartbeat is a cell's sign of life.
type Heartbeat struct {
	Seq   uint64 `json:"seq"`
	Stamp Stamp  `json:"stamp"`
	// Stuck says what of the cell does not move although it should; "" is nothing.
	Stuck string `json:"stuck,omitempty"`
}

// Report is what a cell says upward. What is neither confirmed nor refused is sent again,
// on every new session and to every new leader.
type Report struct {
	// Epoch is the cell epoch of the agent that speaks; another epoch's report is refused.
	Epoch     uint64           `json:"cell_epoch"`
	Heartbeat *Heartbeat       `json:"heartbeat,omitempty"`
	Inventory *InventoryReport `json:"inventory,omitempty"`
	Bound     []BoundReport    `json:"bound,omitempty"`
	Ended     []EndedReport    `json:"ended,omitempty"`
	Runs      []RunReport      `json:"runs,omitempty"`
	Minted    []Minted         `json:"minted,omitempty"`
	// Progress is how far announced ends have come.
	Progress []LeaseProgress `json:"progress,omitempty"`
}

// Effects reports whether the report says anything that must be committed or answered.
func (r Report) Effects() bool {
	return r.Inventory != nil || len(r.Bound) > 0 || len(r.Ended) > 0 || len(r.Runs) > 0 || len(r.Minted) > 0 || len(r.Progress) > 0
}

// MaxReportItems bounds the items of each list in one report.
const MaxReportItems = 256

// InventoryReport says what the cell can host and what of that may be leased.
type InventoryReport struct {
	Inventory Inventory `json:"inventory"`
	Capacity  Resources `json:"capacity"`
}

// BoundReport says that the binding of a lease is open in this generation. The token goes
// to the waiting client and nowhere else.
type BoundReport struct {
	LeaseID    LeaseID `json:"lease_id"`
	Generation uint64  `json:"generation"`
	Epoch      uint64  `json:"epoch"`
	Coordinate string  `json:"coordinate,omitempty"`
	Token      string  `json:"token,omitempty"`
}

// EndedReport says how a lease ended on the cell: torndown, or fenced with a message.
type EndedReport struct {
	LeaseID LeaseID    `json:"lease_id"`
	Epoch   uint64     `json:"epoch"`
	State   LeaseState `json:"state"`
	Reason  string     `json:"reason,omitempty"`
}

// LeaseProgress says how far the announced end of a lease has come: grace_running, its holder was
// told; checkpoint_reported, what it had to save is saved.
type LeaseProgress struct {
	LeaseID LeaseID    `json:"lease_id"`
	Epoch   uint64     `json:"epoch"`
	State   LeaseState `json:"state"`
}

// RunReport says that a run began, or what became of it.
type RunReport struct {
	RunID      RunID    `json:"run_id"`
	Attempt    int      `json:"attempt"`
	State      RunState `json:"state"`
	ExitCode   int      `json:"exit_code"`
	FuelUsed   int64    `json:"fuel_used"`
	DurationMs int64    `json:"duration_ms"`
	// CPUMs came with level 2.
	CPUMs     int64      `json:"cpu_ms,omitempty"`
	Artifacts []Artifact `json:"artifacts,omitempty"`
	Failure   Failure    `json:"failure,omitzero"`
	// Net is what went through the run's net lease; nil is that it had none.
	Net *NetUsage `json:"net,omitempty"`
}

// Minted answers an Ask; Problem says why there is no token.
type Minted struct {
	AskID   string  `json:"ask_id"`
	LeaseID LeaseID `json:"lease_id"`
	Token   string  `json:"token,omitempty"`
	Problem *Error  `json:"problem,omitempty"`
}

// ReportAnswer confirms a report: all of it is committed at Index. Refused lists the leases
// and runs of the report that the state machine did not take and never will.
type ReportAnswer struct {
	Index   uint64          `json:"index"`
	Refused []ReportRefusal `json:"refused,omitempty"`
}

// ReportRefusal says what was refused and why.
type ReportRefusal struct {
	LeaseID LeaseID `json:"lease_id,omitempty"`
	RunID   RunID   `json:"run_id,omitempty"`
	Kind    Kind    `json:"kind"`
	Detail  string  `json:"detail"`
}

// WatchRequest opens a session.
type WatchRequest struct {
	Epoch uint64 // the cell epoch of the agent
	// After is the highest index that the cell has seen; no older set is sent.
	After uint64
	// Standby opens the warm second session: it says nothing but that it lives.
	Standby bool
	// NoEcho is said by an agent that takes the answer to its report as the news of what it reported:
	// the ends of leases that it reported itself are not sent back to it.
	NoEcho bool
}

// RegisterRequest registers an agent under its certificate.
type RegisterRequest struct {
	Provider  ProviderID `json:"provider"`
	CellID    CellID     `json:"cell_id"`
	Agent     string     `json:"agent"`      // a random name of this agent process
	BrokerKey string     `json:"broker_key"` // hex Ed25519 public key of its CapBroker
	DataURL   string     `json:"data_url,omitempty"`
	Version   string     `json:"version"`
	Stamp     Stamp      `json:"stamp"`
}

// RegisterAnswer tells the agent its epoch and the timers of this cluster.
type RegisterAnswer struct {
	Index       uint64   `json:"index"`
	ClusterID   string   `json:"cluster_id"`
	Epoch       uint64   `json:"cell_epoch"`
	HeartbeatMs int64    `json:"heartbeat_ms"`
	LimitMs     int64    `json:"limit_ms"`
	WarmupMs    int64    `json:"warmup_ms"`
	Schedulers  []string `json:"schedulers"`
	// Fence is the newest fencing number that was given when the registration was committed, and
	// ClusterEpoch the cluster's: an agent that does not know what was accepted before it takes no
	// lease that is not newer.
	Fence        uint64 `json:"fence,omitempty"`
	ClusterEpoch uint64 `json:"cluster_epoch,omitempty"`
}

// BootstrapRequest trades a bootstrap token and a CSR for a cell certificate. In place of the token
// a cell whose certificate has ended shows that, with a CSR of the same key.
type BootstrapRequest struct {
	Token       string     `json:"token,omitempty"`
	Certificate string     `json:"certificate,omitempty"` // PEM
	Provider    ProviderID `json:"provider"`
	CellID      CellID     `json:"cell_id"`
	CSR         string     `json:"csr"` // PEM
	// Evidence is what the host's cloud says of it, where the provider wants that.
	Evidence *EvidenceDocument `json:"evidence,omitempty"`
}

// RenewalRequest asks for a certificate of a new key, under the one that the caller has.
type RenewalRequest struct {
	CSR string `json:"csr"` // PEM
}

// BootstrapAnswer carries the certificate and what it chains to.
type BootstrapAnswer struct {
	ClusterID   string   `json:"cluster_id"`
	Certificate string   `json:"certificate"` // PEM, leaf first
	CA          string   `json:"ca"`          // PEM
	Schedulers  []string `json:"schedulers"`
}

// Sighting is what one scheduler knows of a cell's life, as it tells the others.
type Sighting struct {
	CellID  CellID `json:"cell_id"`
	Epoch   uint64 `json:"cell_epoch"`
	Seq     uint64 `json:"seq"`
	Stamp   Stamp  `json:"stamp"`
	AgeMs   int64  `json:"age_ms"`
	Session bool   `json:"session"`
	// SessionAgeMs is how long ago the scheduler held a live session of the cell; 0 with Session.
	SessionAgeMs int64 `json:"session_age_ms,omitempty"`
	// SteadyMs is for how long heartbeats have come without a break over the limit.
	SteadyMs int64  `json:"steady_ms"`
	Stuck    string `json:"stuck,omitempty"`
}

// SightingTable is a numbered digest of everything one scheduler saw.
type SightingTable struct {
	Node      NodeID     `json:"node_id"`
	Digest    uint64     `json:"digest"`
	Sightings []Sighting `json:"sightings"`
}

// ReadIndex answers a follower that wants to serve a verified read: every write that was
// acknowledged before the question is at or below Index.
type ReadIndex struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

// NodeState is what a scheduler says of itself.
type NodeState struct {
	Node          NodeID    `json:"node_id"`
	ClusterID     string    `json:"cluster_id"`
	Role          string    `json:"role"` // leader, follower, candidate, shutdown
	Leader        NodeID    `json:"leader"`
	LeaderURL     string    `json:"leader_url"`
	URL           string    `json:"url"`
	RaftAddr      string    `json:"raft_addr"`
	Term          uint64    `json:"term"`
	AppliedIndex  uint64    `json:"applied_index"`
	CommitIndex   uint64    `json:"commit_index"`
	LastIndex     uint64    `json:"last_index"`
	Fingerprint   string    `json:"fingerprint"` // of the state at AppliedIndex
	LastContactMs int64     `json:"last_contact_ms"`
	StartedAt     time.Time `json:"started_at"`
	Version       string    `json:"version"`
	Level         uint32    `json:"level"`        // the cluster's feature level
	NewestLevel   uint32    `json:"newest_level"` // that this scheduler knows
	ClusterEpoch  uint64    `json:"cluster_epoch"`
	Ready         bool      `json:"ready"`
	NotReady      string    `json:"not_ready,omitempty"`
	// Removed is what it answers everybody since it is no member any more.
	Removed *Error `json:"removed,omitempty"`
	Peers   []Peer `json:"peers"`
	// Sessions counts the cell sessions that this node holds.
	Sessions int `json:"sessions"`
	// Fingerprints are the newest ones, by index, to compare with another node's.
	Fingerprints []Fingerprint `json:"fingerprints,omitempty"`
	// Differs says in which way the schedulers' states differ. It is empty.
	Differs string `json:"differs,omitempty"`
	// Broken lists the invariants that did not hold in this node's state at CheckedIndex. It is
	// empty. 0 is that they were not looked at: an operator's question does, seldom, and while the state
	// has 100,000 records at most, those of ended leases and of idempotency keys with them. A larger one proves itself by
	// its snapshot (grafos operator snapshot verify); what was found before stands here until then.
	Broken       []string `json:"broken,omitempty"`
	CheckedIndex uint64   `json:"checked_index,omitempty"`
}

// Fingerprint is the rolling hash of the state at an index.
type Fingerprint struct {
	Index uint64 `json:"index"`
	Hash  string `json:"hash"`
}

// Peer is a scheduler as another one sees it.
type Peer struct {
	Node     NodeID `json:"node_id"`
	URL      string `json:"url"`
	RaftAddr string `json:"raft_addr"`
	Voter    bool   `json:"voter"`
	Alive    bool   `json:"alive"`
}

// SchedulerList answers operator schedulers.
type SchedulerList struct {
	Index      uint64 `json:"index"`
	Leader     NodeID `json:"leader"`
	Term       uint64 `json:"term"`
	Schedulers []Peer `json:"schedulers"`
}
