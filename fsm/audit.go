package fsm

import (
	"encoding/json"
	"fmt"

	"github.com/grafos/grafos/api"
)

// The kinds of audit records (L9). Every one of them is an event type too.
const (
	auditLeaseGranted      = "lease_granted"
	auditLeaseRenewed      = "lease_renewed"
	auditLeaseRevoked      = "lease_revoked"
	auditLeaseExpired      = "lease_expired"
	auditLeaseReleased     = "lease_released"
	auditLeaseTornDown     = "lease_torndown"
	auditLeaseFenced       = "lease_fenced"
	auditLeaseFailedClosed = "lease_failed_closed"
	auditTenantCreated     = "tenant_created"
	auditTenantDeleted     = "tenant_deleted"
	auditQuotaSet          = "quota_set"
	auditCellRegistered    = "cell_registered"
	auditCellRevoking      = "cell_revoking"
	auditCellRevoked       = "cell_revoked"
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
	eventLeaseBound        = "lease_bound"
	eventLeaseForced       = "lease_forced_teardown"
	eventRunRunning        = "run_running"
	eventRunRetried        = "run_retried"
	eventInventoryReported = "inventory_reported"
	eventProviderCreated   = "provider_created"
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
func (s *State) event(kind, actor string, on subject, data any) json.RawMessage {
	raw, err := json.Marshal(data)
	if err != nil {
		s.fail(fmt.Errorf("encode data of event %s: %w", kind, err))
		return nil
	}
	s.record(kind, actor, on, raw)
	return raw
}

// record records a change whose data is encoded.
func (s *State) record(kind, actor string, on subject, raw json.RawMessage) {
	if actor == "" {
		actor = scheduler
	}
	s.events = append(s.events, api.Event{
		Cursor: api.Cursor{Index: s.meta.Index, Sub: uint32(len(s.events))}, Type: kind, Time: s.Wall(), Identity: actor,
		Provider: on.Provider, CellID: on.Cell, LeaseID: on.Lease, RunID: on.Run, Tenant: on.Tenant, Data: raw,
	})
}

// audit records an event in the audit chain as well (L9).
func (s *State) audit(kind, actor string, on subject, data any) {
	if raw := s.event(kind, actor, on, data); raw != nil {
		s.chain(kind, actor, raw)
	}
}

// chain makes the next record of the audit chain. data is compact JSON.
func (s *State) chain(kind, actor string, data json.RawMessage) {
	if actor == "" {
		actor = scheduler
	}
	r := api.AuditRecord{
		Sequence: s.meta.Audit.Sequence + 1, Timestamp: s.meta.Wall / 1000, Kind: kind, Identity: actor,
		Data: data, PrevHash: s.meta.Audit.Hash,
	}
	r.Hash = api.AuditHashCompact(r)
	s.audits = append(s.audits, r)
	s.meta.Audit = api.AuditHead{Sequence: r.Sequence, Hash: r.Hash}
	s.writes++
}
