package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// View is the state after one entry. It never changes.
type View struct{}

// IdemRecord is the stored outcome of a command with an idempotency key.
type IdemRecord struct {
	Scope  string        `json:"scope"`
	Key    string        `json:"key"`
	Hash   string        `json:"hash"`
	Kind   Kind          `json:"kind"`
	Leases []api.LeaseID `json:"leases,omitempty"`
	Run    api.RunID     `json:"run_id,omitempty"`
	Index  uint64        `json:"index"`
	At     api.Tick      `json:"at_tick"`
}

// TokenRecord says who used a one-time token.
type TokenRecord struct {
	JTI      string   `json:"jti"`
	Purpose  string   `json:"purpose"`
	SPKIs    []string `json:"spkis"`
	Uses     int      `json:"uses"`
	Expires  int64    `json:"expires"`
	KeepTill api.Tick `json:"keep_till_tick"`
	Modified uint64   `json:"modified_index"`
}

// Counts says how many records there are.
type Counts struct {
	Providers, Cells, Tenants int
	Leases, LiveLeases        int
	Runs, LiveRuns            int
	Blobs, Keys, Tokens       int
}

func (v *View) Index() uint64                                                  { return 0 }
func (v *View) Now() api.Tick                                                  { return 0 }
func (v *View) Wall() time.Time                                                { return time.Time{} }
func (v *View) ClusterID() string                                              { return "" }
func (v *View) Fingerprint() string                                            { return "" }
func (v *View) AuditHead() api.AuditHead                                       { return api.AuditHead{} }
func (v *View) Counts() Counts                                                 { return Counts{} }
func (v *View) Provider(id api.ProviderID) (api.Provider, bool)                { return api.Provider{}, false }
func (v *View) Providers() []api.Provider                                      { return nil }
func (v *View) Cell(id api.CellID) (api.CellRecord, bool)                      { return api.CellRecord{}, false }
func (v *View) Cells(p api.ProviderID) []api.CellRecord                        { return nil }
func (v *View) Readiness(c api.CellRecord) (api.Readiness, []api.Reason)       { return api.Readiness{}, nil }
func (v *View) CellState(c api.CellRecord) api.CellState                       { return "" }
func (v *View) Show(c api.CellRecord) api.Cell                                 { return api.Cell{} }
func (v *View) Used(c api.CellID) api.Resources                                { return api.Resources{} }
func (v *View) LeaseCount(c api.CellID) int                                    { return 0 }
func (v *View) Tenant(id api.TenantID) (api.Tenant, bool)                      { return api.Tenant{}, false }
func (v *View) Tenants() []api.Tenant                                          { return nil }
func (v *View) TenantUsage(id api.TenantID) api.TenantUsage                    { return api.TenantUsage{} }
func (v *View) Lease(id api.LeaseID) (api.Lease, bool)                         { return api.Lease{}, false }
func (v *View) LeasesOn(c api.CellID) []api.Lease                              { return nil }
func (v *View) LeasesChangedOn(c api.CellID, after uint64) []api.Lease         { return nil }
func (v *View) LeasesOf(t api.TenantID) []api.Lease                            { return nil }
func (v *View) LeasesOfRun(r api.RunID) []api.Lease                            { return nil }
func (v *View) ListLeases(f api.LeaseFilter) (leases []api.Lease, next string) { return nil, "" }
func (v *View) Run(id api.RunID) (api.Run, bool)                               { return api.Run{}, false }
func (v *View) RunsOn(c api.CellID) []api.Run                                  { return nil }
func (v *View) RunsChangedOn(c api.CellID, after uint64) []api.Run             { return nil }
func (v *View) ListRuns(f api.RunFilter) (runs []api.Run, next string)         { return nil, "" }
func (v *View) DueLeases(now api.Tick, limit int) []api.LeaseID                { return nil }
func (v *View) NextDue() (api.Tick, bool)                                      { return 0, false }
func (v *View) LostRuns(limit int) []api.Run                                   { return nil }
func (v *View) BlobRef(t api.TenantID, d api.Digest) bool                      { return false }
func (v *View) Referenced(d api.Digest) bool                                   { return false }
func (v *View) IdemKey(scope, key string) (IdemRecord, bool)                   { return IdemRecord{}, false }
func (v *View) Token(jti string) (TokenRecord, bool)                           { return TokenRecord{}, false }
