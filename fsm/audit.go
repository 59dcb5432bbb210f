package fsm

import (
	"encoding/json"

	"github.com/grafos/grafos/api"
)

// The kinds of audit records (L9). Every one of them is an event type too.
const (
	auditLeaseGranted      = api.EventLeaseGranted
	auditLeaseRenewed      = api.EventLeaseRenewed
	auditLeaseRevoked      = api.EventLeaseRevoked
	auditLeaseExpired      = api.EventLeaseExpired
	auditLeaseReleased     = api.EventLeaseReleased
	auditLeaseTornDown     = api.EventLeaseTornDown
	auditLeaseFenced       = api.EventLeaseFenced
	auditLeaseFailedClosed = api.EventLeaseFailedClosed
	auditLeaseUnfenced     = api.EventLeaseUnfenced
	auditTenantCreated     = "tenant_created"
	auditTenantDeleted     = "tenant_deleted"
	auditQuotaSet          = "quota_set"
	auditCellRegistered    = "cell_registered"
	auditCellRevoking      = "cell_revoking"
	auditCellRevoked       = "cell_revoked"
	auditCellRenewed       = "cell_identity_renewed"
	auditCellDraining      = "cell_draining"
	auditCellDrained       = "cell_drained"
	auditCellMaintenance   = "cell_maintenance"
	auditCellReturning     = "cell_returning"
	auditCellAccepting     = "cell_accepting"
	auditCellConformance   = "cell_conformance"
	auditCellMarked        = "cell_marked"
	auditProviderMarked    = "provider_marked"
	auditCellReady         = "cell_ready"
	auditCellUnready       = "cell_unready"
	auditProviderEnabled   = "provider_enabled"
	auditProviderDisabled  = "provider_disabled"
	auditTokenUsed         = "token_used"
	auditAdmissionRefused  = "admission_refused"
	auditRunPlaced         = "run_placed"
	auditRunFinished       = "run_finished"
	auditRunFinalised      = "run_finalised"
	auditLevelRaised       = "level_raised"
)

// The event types that are no audit records.
const (
	eventLeaseBound        = api.EventLeaseBound
	eventLeaseForced       = api.EventLeaseForced
	eventLeaseGrace        = api.EventLeaseGrace
	eventLeaseCheckpoint   = api.EventLeaseCheckpoint
	eventRunRunning        = "run_running"
	eventRunRetried        = "run_retried"
	eventInventoryReported = "inventory_reported"
	eventProviderCreated   = "provider_created"
	eventMassSilence       = "mass_silence"
)

// scheduler is the identity of what the leader decides by itself.
const scheduler = "scheduler"

// subject says what an event is about.
type subject struct {
	Provider api.ProviderID
	Cell     api.CellID
	Lease    api.LeaseID
	Run      api.RunID
	Tenant   api.TenantID
}

// event records a change for those who watch. data is a struct: its JSON is deterministic.
func (s *State) event(kind, actor string, on subject, data any) {
	s.encode(kind, actor, on, data)
}

// audit records an event in the audit chain as well (L9).
func (s *State) audit(kind, actor string, on subject, data any) {
	if raw := s.encode(kind, actor, on, data); raw != nil {
		s.chain(kind, actor, raw)
	}
}

func (s *State) encode(kind, actor string, on subject, data any) json.RawMessage {
	raw, err := json.Marshal(data)
	w := s.beginFact(kind, actor, &on)
	w.b, w.err = append(w.b[:w.from], raw...), err
	return s.endEvent(kind, &w)
}

// chain makes the next record of the audit chain of the event that was recorded last. data is
// that event's: compact JSON.
func (s *State) chain(kind, actor string, data json.RawMessage) {
	r := api.AuditRecord{
		Sequence: s.meta.Audit.Sequence + 1, Timestamp: s.meta.Wall / 1000, Kind: kind, Identity: whoDid(actor),
		Data: data, PrevHash: s.meta.Audit.Hash,
	}
	r.Hash = api.AuditHashCompact(r)
	s.audits = append(s.audits, r)
	s.meta.Audit = api.AuditHead{Sequence: r.Sequence, Hash: r.Hash}
	s.writes++
}

// whoDid is the identity of an actor.
func whoDid(actor string) string {
	if actor == "" {
		return scheduler
	}
	return actor
}
