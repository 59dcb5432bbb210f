package api

// StateCounts says how much a state holds.
type StateCounts struct {
	Index        uint64 `json:"index"`
	ClusterEpoch uint64 `json:"cluster_epoch"`
	Cells        int    `json:"cells"`
	Tenants      int    `json:"tenants"`
	Leases       int    `json:"leases"` // that have not ended
	Runs         int    `json:"runs"`   // without a result
	AuditRecords uint64 `json:"audit_records"`
}

// RestoreReport says what a restore does, or did, to the state.
type RestoreReport struct {
	DryRun bool `json:"dry_run"`
	// Repeated: it was done before under the same key, and this is what it answered then.
	Repeated bool `json:"repeated,omitempty"`
	// Index is the cluster's index afterwards; 0 in a dry run.
	Index    uint64 `json:"index"`
	Recovery string `json:"recovery_id,omitempty"`
	// Newest is the newest fencing number of the snapshot: a lease with a higher one was given
	// after the restore.
	Newest   uint64      `json:"newest_epoch,omitempty"`
	Before   StateCounts `json:"before"`
	Snapshot StateCounts `json:"snapshot"`
	// LeasesLost are live now and unknown to the snapshot, or ended in it: their cells stop
	// them. LeasesEnded are live in the snapshot: they are revoked.
	LeasesLost  int `json:"leases_lost"`
	LeasesEnded int `json:"leases_ended"`
	// StillRevoked are cells that were revoked after the snapshot: they stay so.
	StillRevoked int `json:"still_revoked,omitempty"`
}
