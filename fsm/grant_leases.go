package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// GrantLeases carries a placement decision: these leases on that cell, all or none. With Run
// they are a run's: a new one, or the next attempt of one that waits to be placed again. The
// state machine does not choose; it checks again that the choice still holds.
type GrantLeases struct { //nolint:recvcheck // a command is a value; what checks it looks at it where it is
	Actor     string         `json:"actor"`
	Idem      Idem           `json:"idem"`
	Tenant    api.TenantID   `json:"tenant"`
	Provider  api.ProviderID `json:"provider"`
	Cell      api.CellID     `json:"cell_id"`
	CellEpoch uint64         `json:"cell_epoch"`
	Priority  api.Priority   `json:"priority"`
	TTLMs     int64          `json:"ttl_ms"`
	Stamp     api.Stamp      `json:"stamp"`
	Items     []GrantItem    `json:"items"`
	Run       *api.Run       `json:"run,omitempty"`
	// Holder names the key that the leases' tokens are for. It came with level 2.
	Holder string `json:"holder,omitempty"`
	// Terms is what was asked for beyond the amounts, and decided. It came with level 2.
	Terms *api.Terms `json:"terms,omitempty"`
}

// GrantItem is one lease of a grant.
type GrantItem struct {
	ID     api.LeaseID   `json:"lease_id"`
	Kind   api.LeaseKind `json:"kind"`
	Use    api.Use       `json:"use,omitempty"`
	Amount int64         `json:"amount"`
}

// Kind returns KindGrantLeases.
func (GrantLeases) Kind() Kind { return KindGrantLeases }

// level is 2 where a holder or terms are named.
func (c GrantLeases) level() Level {
	if c.Holder != "" || c.Terms != nil || c.Run != nil && c.Run.Terms != nil {
		return 2
	}
	return 1
}

func (c GrantLeases) idem() Idem { return c.Idem }

// apply refuses an unknown tenant or provider with not_found, a disabled provider with
// runtime_not_ready, what is over quota with quota_exceeded, and with conflict whatever moved
// under the planner, which then looks again: the cell's epoch, readiness or free capacity, an
// id that exists, a run that is not waiting.
func (c GrantLeases) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	ask := c.ask()
	if p := c.mayHold(s, ask); p != nil {
		return Result{}, p
	}
	takes, p := c.onDevices(s, ask)
	if p == nil {
		p = c.cellTakes(s, takes)
	}
	if p != nil {
		return Result{}, p
	}
	for _, i := range c.Items {
		if _, exists := s.look(i.ID); exists {
			return Result{}, api.Refuse(api.Conflict, "lease %s exists already", i.ID)
		}
	}
	run, p := c.place(s)
	if p != nil {
		return Result{}, p
	}

	s.grown += len(c.Items)
	res := Result{Leases: make([]api.LeaseID, 0, len(c.Items)), Run: run.ID, CellEpoch: c.CellEpoch}
	for _, i := range c.Items {
		l := c.lease(s, i, run.ID)
		s.addLease(&l)
		fact := s.leaseFact(&l)
		fact.Terms = l.Terms
		s.auditLease(auditLeaseGranted, c.Actor, &l, &fact)
		res.Leases = append(res.Leases, l.ID)
	}
	if c.Run != nil {
		run.LeaseIDs = res.Leases
		s.putRun(run)
		s.audit(auditRunPlaced, c.Actor, runSubject(run), runFactOf(run))
	}
	return res, nil
}

// lease makes the record of one item, with the next fencing number (I4).
func (c *GrantLeases) lease(s *State, i GrantItem, run api.RunID) api.Lease {
	s.meta.Epoch++
	ttl := time.Duration(c.TTLMs) * time.Millisecond
	return api.Lease{
		ID: i.ID, RunID: run, Tenant: c.Tenant, Provider: c.Provider, CellID: c.Cell, Kind: i.Kind, Use: i.Use, Amount: i.Amount,
		State: api.LeaseActive, Generation: 1, Epoch: s.meta.Epoch, Priority: c.Priority, TTLMs: c.TTLMs,
		GrantedAt: s.Wall(), ExpiresAt: s.after(ttl), Granted: s.meta.Now, Expires: s.meta.Now + api.Tick(ttl), Stamp: c.Stamp,
		Holder: c.Holder, Terms: c.Terms.Of(i.Kind),
	}
}

// mayHold checks tenant and quota (L2).
func (c *GrantLeases) mayHold(s *State, ask api.Resources) *api.Error {
	tenant, ok := s.tenants.at(c.Tenant)
	if !ok {
		return api.Refuse(api.NotFound, "tenant %s does not exist", c.Tenant)
	}
	provider, ok := s.providers.at(c.Provider)
	if !ok {
		return api.Refuse(api.NotFound, "provider %s is not configured on this cluster", c.Provider)
	}
	if !provider.Enabled {
		p := api.Refuse(api.RuntimeNotReady, "provider %s is disabled", c.Provider).WithHint("grafos provider enable %s", c.Provider)
		p.Provider = c.Provider
		return p
	}
	use, more := s.leases.heldBy(c.Tenant), int64(len(c.Items))
	if mutant.On(mutant.QuotaByOne) {
		more--
	}
	if short := tenant.Quota.Exceeded(use.used, int64(use.open.Len()), ask, more); short != nil {
		p := api.Refuse(api.QuotaExceeded, "tenant %s has a quota of %d for %s, holds %d and asks for %d more",
			c.Tenant, short.Limit, short.Resource, short.InUse, short.Asked).WithHint("free what is not needed, or ask an operator for a larger quota")
		p.Provider, p.Shortage = c.Provider, short
		return p
	}
	return nil
}

// cellTakes checks that the cell is the one that the planner saw, takes work, and has room (L1).
func (c *GrantLeases) cellTakes(s *State, ask api.Resources) *api.Error {
	cell, ok := s.cells.at(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return api.Refuse(api.Conflict, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	ready, provider := s.requirements(cell)
	takes := !cell.Revoked && !cell.Revoking && cell.Mode == api.ModeAccepting && !c.unproven(cell, provider) && (cell.Epoch == c.CellEpoch || mutant.On(mutant.SkipCellEpoch)) && ready.Ready()
	if takes && (cell.Capacity.Sub(s.leases.usedOf(c.Cell)).Floor().Fits(ask) || mutant.On(mutant.CapacityByOne)) {
		return nil
	}
	return c.why(s, *cell, ask)
}

// unproven reports whether the cell has to pass the conformance suite first. The suite's own leases are
// how it does that.
func (c *GrantLeases) unproven(cell *api.CellRecord, p *api.Provider) bool {
	return cell.Unproven(p != nil && p.Production) && c.Tenant != api.ConformanceTenant
}

// why says why a cell does not take the grant.
func (c *GrantLeases) why(s *State, cell api.CellRecord, ask api.Resources) *api.Error {
	what := cellWhat(c.Provider, c.Cell)
	switch {
	case cell.Epoch != c.CellEpoch:
		return api.Refuse(api.Conflict, "%s is in epoch %d, the decision was made in epoch %d", what, cell.Epoch, c.CellEpoch)
	case cell.Revoked || cell.Revoking || cell.Mode != api.ModeAccepting:
		return api.Refuse(api.Conflict, "%s takes no work: it is %s", what, s.CellState(cell))
	}
	if ready, reasons := s.Readiness(cell); !ready.Ready() {
		return api.Refuse(api.Conflict, "%s is not ready: %s", what, reasons[0].Message)
	}
	if _, provider := s.requirements(&cell); c.unproven(&cell, provider) {
		return api.Refuse(api.Conflict, "%s is marked production and has not passed the conformance suite", what)
	}
	free := s.Free(&cell)
	k := free.Short(ask)[0]
	p := api.Refuse(api.Conflict, "%s has %d of %d %s %s free, %d are asked for", what, free.Get(k), cell.Capacity.Get(k), k.Unit(), k, ask.Get(k))
	p.Shortage = &api.Shortage{Resource: string(k), Limit: cell.Capacity.Get(k), InUse: s.Used(c.Cell).Get(k), Asked: ask.Get(k)}
	return p
}

// ask sums the items.
func (c *GrantLeases) ask() api.Resources {
	var ask api.Resources
	for _, i := range c.Items {
		ask = ask.With(i.Kind, ask.Get(i.Kind)+i.Amount)
	}
	return ask
}
