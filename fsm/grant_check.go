package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// check refuses a grant that could not be right in any state.
func (c *GrantLeases) check() *api.Error {
	if p := first(checkText("actor", c.Actor, maxActor), checkName("tenant", string(c.Tenant)), checkCellName(c.Provider, c.Cell),
		api.Problem(api.CheckTTL(c.TTLMs)), checkStamp(c.Stamp), api.Problem(api.CheckHolder(c.Holder))); p != nil {
		return p
	}
	if !c.Priority.Valid() {
		return api.Refuse(api.InvalidArgument, "the priority is not one of guaranteed, standard, scavenger")
	}
	if len(c.Items) == 0 || len(c.Items) > MaxItems {
		return api.Refuse(api.InvalidArgument, "a grant has %d leases: it must have 1 to %d", len(c.Items), MaxItems)
	}
	for n := range c.Items {
		i := &c.Items[n]
		if p := i.check(); p != nil {
			return p
		}
		for _, before := range c.Items[:n] {
			if before.ID == i.ID {
				return api.Refuse(api.InvalidArgument, "lease id %s is given twice", i.ID)
			}
		}
	}
	ask := c.ask()
	if err := c.Terms.Check(ask); err != nil {
		return api.Problem(err)
	}
	if p := c.checkDevices(ask); p != nil {
		return p
	}
	return api.Problem(ask.CheckAsk())
}

// check refuses an item with an amount, kind or use that does not exist.
func (i *GrantItem) check() *api.Error {
	if p := checkID("lease id", string(i.ID)); p != nil {
		return p
	}
	if i.Amount < 1 || i.Amount > api.MaxAmount {
		return api.Refuse(api.InvalidArgument, "lease %s is for %d %s: it must be from 1 to %d", i.ID, i.Amount, i.Kind.Unit(), int64(api.MaxAmount))
	}
	use := ""
	switch i.Kind {
	case api.KindMem:
		use = string(i.Use)
		if i.Use != api.UseLinear && i.Use != api.UseRegion {
			return api.Refuse(api.InvalidArgument, "lease %s is for mem: its use must be linear or region", i.ID)
		}
	case api.KindCPU, api.KindBlock, api.KindNet, api.KindGPU:
	default:
		return api.Refuse(api.InvalidArgument, "lease %s has a kind that does not exist", i.ID)
	}
	if string(i.Use) != use {
		return api.Refuse(api.InvalidArgument, "lease %s is for %s, which has no use", i.ID, i.Kind)
	}
	return nil
}

// place returns the record of the grant's run as it is placed now: new, or the next attempt
// of one that waits. Without a run it returns the zero record.
func (c *GrantLeases) place(s *State) (api.Run, *api.Error) {
	if c.Run == nil {
		return api.Run{}, nil
	}
	if p := checkID("run id", string(c.Run.ID)); p != nil {
		return api.Run{}, p
	}
	run, exists := s.Run(c.Run.ID)
	switch {
	case !exists:
		if p := c.checkRun(); p != nil {
			return api.Run{}, p
		}
		run = c.newRun(s)
	case run.State != api.RunAdmitted:
		return api.Run{}, api.Refuse(api.Conflict, "run %s is %s: it does not wait to be placed", run.ID, run.State)
	case run.Tenant != c.Tenant || run.Provider != c.Provider:
		return api.Run{}, api.Refuse(api.Conflict, "run %s belongs to tenant %s and provider %s", run.ID, run.Tenant, run.Provider)
	}
	run.State, run.CellID, run.Attempt = api.RunPlaced, c.Cell, run.Attempt+1
	run.StartedAt = time.Time{}
	return run, nil
}

// newRun takes from the command what the request decided, and nothing that only the state
// machine decides.
func (c *GrantLeases) newRun(s *State) api.Run {
	r := c.Run
	profile := r.Profile
	if profile == "" {
		profile = api.ProfileWASI
	}
	return api.Run{
		ID: r.ID, Tenant: c.Tenant, Provider: c.Provider, State: api.RunAdmitted, Retries: r.Retries, Tasklet: r.Tasklet,
		Profile: profile, Module: r.Module, Input: r.Input, Invocation: r.Invocation, Fuel: r.Fuel, Resources: r.Resources,
		TTLMs: c.TTLMs, Priority: c.Priority, Terms: r.Terms, Artifacts: []api.Artifact{}, CreatedAt: s.Wall(),
	}
}

// checkRun refuses a run that could not have been asked for.
func (c *GrantLeases) checkRun() *api.Error {
	r := c.Run
	if r.Tenant != "" && r.Tenant != c.Tenant {
		return api.Refuse(api.InvalidArgument, "run %s is of tenant %s, its leases are of %s", r.ID, r.Tenant, c.Tenant)
	}
	return api.Problem(api.RunRequest{
		Provider: c.Provider, Tasklet: r.Tasklet, Profile: r.Profile, Module: r.Module, Resources: r.Resources, TTLMs: c.TTLMs,
		Priority: c.Priority, Retries: r.Retries, Input: r.Input, Invocation: r.Invocation, Fuel: r.Fuel,
		Terms: r.Terms,
	}.Check())
}
