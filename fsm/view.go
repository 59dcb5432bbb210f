package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// View is the whole state after one entry. It never changes; what it returns are values, and
// the slices and maps inside them are shared: read them, never write them.
type View struct {
	meta      meta
	providers records[api.ProviderID, api.Provider]
	cells     records[api.CellID, api.CellRecord]
	tenants   records[api.TenantID, api.Tenant]
	leases    leaseTable
	runs      runTable
	blobs     blobTable
	keys      keyTable
	tokens    tokenTable
}

// meta is the state beside the tables.
type meta struct {
	ClusterID string   `json:"cluster_id"`
	Index     uint64   `json:"index"`
	Now       api.Tick `json:"now_tick"`
	Wall      int64    `json:"wall_ms"`
	// Epoch is the newest fencing number that was given to a lease; I4.
	Epoch       uint64        `json:"epoch"`
	Audit       api.AuditHead `json:"audit"` // I8
	Fingerprint string        `json:"fingerprint"`
}

func newView() View {
	return View{
		meta:      meta{Audit: api.AuditHead{Hash: api.AuditGenesis}},
		providers: newRecords[api.ProviderID, api.Provider](),
		cells:     newRecords[api.CellID, api.CellRecord](),
		tenants:   newRecords[api.TenantID, api.Tenant](),
		leases:    newLeaseTable(),
		runs:      newRunTable(),
		blobs:     newBlobTable(),
		keys:      newKeyTable(),
		tokens:    newTokenTable(),
	}
}

// Index returns the index of the newest entry in the view.
func (v *View) Index() uint64 { return v.meta.Index }

// Now returns cluster time.
func (v *View) Now() api.Tick { return v.meta.Now }

// Wall returns the leader's wall clock of the newest entry, for display.
func (v *View) Wall() time.Time { return time.UnixMilli(v.meta.Wall).UTC() }

// ClusterID returns the cluster's id, "" before InitCluster.
func (v *View) ClusterID() string { return v.meta.ClusterID }

// Fingerprint returns the rolling hash over every table change since the beginning.
func (v *View) Fingerprint() string { return v.meta.Fingerprint }

// AuditHead returns the newest link of the audit chain.
func (v *View) AuditHead() api.AuditHead { return v.meta.Audit }

// Counts says how many records there are.
type Counts struct {
	Providers, Cells, Tenants int
	Leases, LiveLeases        int // LiveLeases are not terminal
	Runs, LiveRuns            int
	Blobs, Keys, Tokens       int
}

// Counts returns how many records there are.
func (v *View) Counts() Counts {
	return Counts{
		Providers: v.providers.Len(), Cells: v.cells.Len(), Tenants: v.tenants.Len(),
		Leases: v.leases.byID.Len(), LiveLeases: v.leases.live,
		Runs: v.runs.byID.Len(), LiveRuns: v.runs.live,
		Blobs: v.blobs.byKey.Len(), Keys: v.keys.byKey.Len(), Tokens: v.tokens.byID.Len(),
	}
}
