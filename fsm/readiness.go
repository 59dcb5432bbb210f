package fsm

import (
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// The codes of reasons that the state machine itself gives; the leader's conditions carry
// codes of their own. CodeWarmingUp as the code of an unmet healthy_cell makes a cell show as warming.
const (
	CodeProviderUnknown  = "provider_unknown"
	CodeProviderDisabled = "provider_disabled"
	CodeNotRegistered    = "not_registered"
	CodeIdentityUnproved = "identity_not_verified"
	CodeIdentityRevoked  = "identity_revoked"
	CodeCellRevoked      = "cell_revoked"
	CodeWarmingUp        = "warming_up"
	CodeStuck            = "stuck"
	CodeNoHeartbeat      = "no_heartbeat"
	CodeNoInventory      = "no_inventory"
	CodeNoSession        = "no_session"
	// CodeMassSilence is of cells that fell silent with most of their provider: the fault is more
	// likely at the schedulers, or between.
	CodeMassSilence = "mass_silence"
	// CodeFlapping is of a cell that came and went too often: it has to be steady for longer.
	CodeFlapping = "flapping"
	// CodeCertificateExpired is of a certificate that ended and can be renewed with its own key,
	// CodeCertificateLapsed of one that cannot any more.
	CodeCertificateExpired = "certificate_expired"
	CodeCertificateLapsed  = "certificate_lapsed"
)

// Readiness says of each of the six requirements whether the cell meets it, with the reason
// for each that it does not, in order.
func (v *View) Readiness(c api.CellRecord) (api.Readiness, []api.Reason) {
	r, provider := v.requirements(&c)
	if r.Ready() {
		return r, nil
	}
	known := provider != nil
	if !known {
		provider = new(api.Provider)
	}
	var reasons []api.Reason
	for _, q := range r.Unmet() {
		reasons = append(reasons, v.reason(q, c, *provider, known))
	}
	return r, reasons
}

// Requirements is Readiness without the reasons: it costs nothing where many cells are looked at.
func (v *View) Requirements(c *api.CellRecord) api.Readiness {
	r, _ := v.requirements(c)
	return r
}

// requirements says of each of the six requirements whether the cell meets it. The provider
// is nil when there is none; it is only to be read.
func (v *View) requirements(c *api.CellRecord) (api.Readiness, *api.Provider) {
	provider, known := v.providers.at(c.Provider)
	return api.Readiness{
		CodeEnabled:        known && provider.Enabled,
		DurableRecord:      c.ID != "",
		IdentityBound:      c.IdentityBound.Met && !c.Revoked,
		HealthyCell:        c.Healthy.Met && !c.Revoked,
		InventoryReported:  c.Reported,
		OutboundRegistered: c.Outbound.Met && !c.Revoked,
	}, provider
}

// reason explains one requirement that a cell does not meet.
func (v *View) reason(q api.Requirement, c api.CellRecord, p api.Provider, known bool) api.Reason {
	r := api.Reason{Requirement: q, Since: c.RegisteredAt}
	switch q {
	case api.ReqCodeEnabled:
		r.Code, r.Since = CodeProviderDisabled, p.Since
		r.Message = fmt.Sprintf("provider %s is disabled", c.Provider)
		r.Hint = fmt.Sprintf("grafos provider enable %s", c.Provider)
		if !known {
			r.Code, r.Since = CodeProviderUnknown, c.CreatedAt
			r.Message = fmt.Sprintf("provider %s is not configured on this cluster", c.Provider)
			r.Hint = "add the provider to the schedulers' configuration"
		}
	case api.ReqDurableRecord:
		r.Code, r.Message = CodeNotRegistered, "the cell has never registered"
		r.Hint = "start grafos cell-agent on the host with its certificate"
	case api.ReqIdentityBound:
		r = v.condition(r, c, c.IdentityBound, CodeIdentityUnproved, "the cell has no verified identity certificate")
	case api.ReqHealthyCell:
		r = v.condition(r, c, c.Healthy, CodeNoHeartbeat, "no heartbeat was seen since the cell registered")
	case api.ReqInventoryReported:
		r.Code = CodeNoInventory
		r.Message = fmt.Sprintf("the agent of cell epoch %d has not reported its inventory", c.Epoch)
		r.Hint = "look at the agent's log: it reports right after its session opens"
	case api.ReqOutboundRegistered:
		r = v.condition(r, c, c.Outbound, CodeNoSession, "the cell holds no outbound session to any scheduler")
	}
	if r.Since.IsZero() {
		r.Since = c.CreatedAt
	}
	return r
}

// condition takes code, message and time from a committed condition, and from the fallbacks
// where it has none.
func (v *View) condition(r api.Reason, c api.CellRecord, cond api.Condition, code, message string) api.Reason {
	if c.Revoked && (cond.Met || cond.Code == "") {
		cond = api.Condition{Code: CodeCellRevoked, Message: "the cell was revoked and never comes back", Since: cond.Since}
	}
	r.Code, r.Message = cond.Code, cond.Message
	if !cond.Since.IsZero() {
		r.Since = cond.Since
	}
	if r.Code == "" {
		r.Code = code
	}
	if r.Message == "" {
		r.Message = message
	}
	r.Hint = hint(r.Requirement, r.Code, c)
	return r
}

// hint says what to do about a condition that the leader committed.
func hint(q api.Requirement, code string, c api.CellRecord) string {
	switch code {
	case CodeIdentityRevoked, CodeCellRevoked:
		return "a revoked identity never registers again: bootstrap the host under a new cell id"
	case CodeWarmingUp:
		return "wait: the cell is ready when its heartbeats have been steady for the warm-up"
	case CodeMassSilence:
		return "look at the schedulers and at the network between: most cells of the provider fell silent at once"
	case CodeFlapping:
		return "find out why the cell comes and goes: its agent's log, its host and its network; it takes work when it has been steady for longer"
	case CodeCertificateLapsed:
		return fmt.Sprintf("the certificate cannot be renewed any more: grafos cloud bootstrap-cell --provider %s --cell-id %s", c.Provider, c.ID)
	case CodeCertificateExpired:
		return "the agent renews it by itself when it reaches a scheduler: look at its log, and at the clocks of its host and of the schedulers"
	}
	switch q {
	case api.ReqIdentityBound:
		return fmt.Sprintf("renew or bootstrap the certificate: grafos cloud bootstrap-cell --provider %s --cell-id %s", c.Provider, c.ID)
	case api.ReqHealthyCell:
		return "check that the host is up, that grafos cell-agent runs and that it reaches a scheduler"
	case api.ReqOutboundRegistered:
		return "check the agent's --schedulers addresses, its network path out, and its log"
	case api.ReqCodeEnabled, api.ReqDurableRecord, api.ReqInventoryReported:
		return ""
	}
	return ""
}

// CellState says what a cell is in one word: revoked before draining before ready before
// warming before unhealthy before registered.
func (v *View) CellState(c api.CellRecord) api.CellState {
	switch {
	case c.Revoked:
		return api.CellRevoked
	case c.Revoking, c.Mode == api.ModeDraining:
		return api.CellDraining
	case c.Mode == api.ModeDrained:
		return api.CellDrained
	case c.Mode == api.ModeMaintenance:
		return api.CellMaintenance
	case c.Mode == api.ModeReturning:
		return api.CellWarming
	case v.Requirements(&c).Ready():
		return api.CellReady
	case !c.Healthy.Met && c.Healthy.Code == CodeWarmingUp:
		return api.CellWarming
	case lost(c.Healthy, CodeNoHeartbeat), lost(c.Outbound, CodeNoSession), lost(c.IdentityBound, CodeIdentityUnproved):
		return api.CellUnhealthy
	}
	return api.CellRegistered
}

// lost reports whether a condition was found broken, not merely never met yet.
func lost(c api.Condition, never string) bool { return !c.Met && c.Code != "" && c.Code != never }

// Show returns a cell as it is shown. LastSeen and Session are the caller's to fill: they
// are not in the state.
func (v *View) Show(c api.CellRecord) api.Cell {
	ready, reasons := v.Readiness(c)
	if reasons == nil {
		reasons = []api.Reason{}
	}
	shown := api.Cell{
		CellID: c.ID, Provider: c.Provider, State: v.CellState(c), Ready: ready.Ready(), Mode: c.Mode,
		Readiness: ready, Reasons: reasons, Inventory: c.Inventory, Capacity: c.Capacity, Free: v.Free(&c),
		Leases: v.LeaseCount(c.ID), Conformance: c.Conformance(), Production: v.production(&c), Epoch: c.Epoch, Version: c.Version, DataURL: c.DataURL,
		SPIFFEID: fmt.Sprintf("spiffe://%s/cell/%s/%s", v.meta.ClusterID, c.Provider, c.ID), Modified: c.Modified,
	}
	if c.Identity.NotAfter > 0 {
		shown.NotAfter = time.Unix(c.Identity.NotAfter, 0).UTC()
	}
	if c.Attestation.Kind != "" {
		shown.Attestation = &c.Attestation
	}
	if !c.Suite.At.IsZero() {
		shown.Suite = &c.Suite
	}
	if shown.Inventory.GPUs == nil {
		shown.Inventory.GPUs = []api.GPU{}
	}
	return shown
}
