package fsm

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// View is the whole state after one entry. It never changes; what it returns are values, and
// the slices and maps inside them are shared: read them, never write them.
type View struct {
	meta   meta
	leases leaseTable
	keys   keyTable
	*rest
}

// rest is the tables that most entries leave alone: a view shares them with the one before.
type rest struct {
	edit      cow.Edit
	providers records[api.ProviderID, api.Provider]
	cells     records[api.CellID, api.CellRecord]
	barred    set[text] // I3: the keys of revoked cells
	tenants   records[api.TenantID, api.Tenant]
	runs      runTable
	blobs     blobTable
	tokens    tokenTable
}

func newView() View {
	return View{
		meta:   meta{Level: 1, Audit: api.AuditHead{Hash: api.AuditGenesis}},
		leases: newLeaseTable(),
		keys:   newKeyTable(),
		rest:   new(rest),
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
func (v *View) Fingerprint() string { return hex.EncodeToString(v.meta.Fingerprint[:]) }

// Level returns the cluster's feature level: nothing above it may be proposed.
func (v *View) Level() Level { return v.meta.Level }

// Epoch returns the newest fencing number: no lease has a greater one.
func (v *View) Epoch() uint64 { return v.meta.Epoch }

// ClusterEpoch counts how often the cluster was recovered from the loss of its quorum.
func (v *View) ClusterEpoch() uint64 { return v.meta.ClusterEpoch }

// Recovery returns the id of the recovery that is called name, where the state remembers it. An
// id may say more than its name, after a "-".
func (v *View) Recovery(name string) (id string, found bool) {
	for _, id := range v.meta.Recoveries {
		id, _, _ = strings.Cut(id, ".") // one step of several
		if id == name || strings.HasPrefix(id, name+"-") {
			return id, true
		}
	}
	return "", false
}

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
		Leases: v.leases.byEpoch.Len(), LiveLeases: v.leases.live,
		Runs: v.runs.byID.Len(), LiveRuns: v.runs.live,
		Blobs: v.blobs.byKey.Len(), Keys: v.keys.byAge.Len(), Tokens: v.tokens.byID.Len(),
	}
}
