package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// DrainCell has a cell take no new work; the leader goes on with it until its last lease has ended.
func (c *Control) DrainCell(ctx context.Context, cell api.CellID, r api.DrainRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	if r.GraceMs < 0 || r.GraceMs > maxGrace {
		return nil, api.Refuse(api.InvalidArgument, "grace is %s: it must be from 0 to 24 h", api.FormatMs(r.GraceMs))
	}
	to := api.ModeDrained
	if r.Maintenance {
		to = api.ModeMaintenance
	}
	return c.setMode(ctx, fsm.SetCellMode{Cell: cell, Mode: api.ModeDraining, DrainTo: to, GraceMs: r.GraceMs}, "drain_cell", r, o)
}

// UndrainCell has a cell take work again, when it has been steady for the warm-up.
func (c *Control) UndrainCell(ctx context.Context, cell api.CellID, o api.WriteOptions) (*api.CellAnswer, error) {
	return c.setMode(ctx, fsm.SetCellMode{Cell: cell, Mode: api.ModeReturning}, "undrain_cell", nil, o)
}

func (c *Control) setMode(ctx context.Context, cmd fsm.SetCellMode, op string, r any, o api.WriteOptions) (*api.CellAnswer, error) {
	rec, err := c.cellNamed(c.cfg.Machine.View(), cmd.Cell)
	if err != nil {
		return nil, err
	}
	cmd.Idem, err = idem(actor(ctx), o, op, map[string]any{"cell": cmd.Cell, "request": r})
	if err != nil {
		return nil, err
	}
	cmd.Actor, cmd.Provider, cmd.Reason = actor(ctx), rec.Provider, o.Reason
	if cmd.Mode == api.ModeReturning && rec.Mode.Takes() {
		cmd.Mode = api.ModeAccepting // it takes work already
	}
	if !o.DryRun {
		if _, err := c.cfg.Decider.Submit(ctx, cmd); err != nil {
			return nil, err
		}
	}
	v := c.cfg.Machine.View()
	if rec, err = c.cellNamed(v, cmd.Cell); err != nil {
		return nil, err
	}
	return &api.CellAnswer{Index: v.Index(), Cell: c.show(v, rec)}, nil
}

func (c *Control) cellNamed(v *fsm.View, id api.CellID) (api.CellRecord, error) {
	rec, ok := v.Cell(id)
	if !ok {
		return rec, api.Refuse(api.NotFound, "cell %q does not exist", id).WithHint("see which do: grafos fabric cells")
	}
	return rec, nil
}

// CellDrain says what a cell that is drained or revoked still waits for.
func (c *Control) CellDrain(ctx context.Context, id api.CellID, o api.ReadOptions) (*api.CellDrain, error) {
	v, err := c.view(ctx, o, c.oneOf(fsm.CellTopic(id)))
	if err != nil {
		return nil, err
	}
	rec, err := c.cellNamed(v.View, id)
	if err != nil {
		return nil, err
	}
	d := &api.CellDrain{
		Index: v.Index(), CellID: rec.ID, Provider: rec.Provider, State: v.CellState(rec), Mode: rec.Mode,
		Leases: []api.DrainingLease{}, Freshness: v.fresh,
	}
	for _, l := range v.LeasesOn(id) {
		if !l.State.Terminal() {
			d.Leases = append(d.Leases, draining(v.View, rec, l))
		}
	}
	d.Done = len(d.Leases) == 0 && !rec.Revoking && rec.Mode != api.ModeDraining
	return d, nil
}

// draining says what the end of a lease waits for, and until when at most.
func draining(v *fsm.View, cell api.CellRecord, l api.Lease) api.DrainingLease {
	wait, until := api.WaitCell, l.StoppedBy()
	switch {
	case l.State.Usable() && l.ForceAt > 0 && l.ForceAt < l.Expires:
		wait, until = api.WaitGrace, l.ForceAt
	case l.State.Usable():
		wait, until = api.WaitHolder, l.Expires
	case !cell.Healthy.Met || !cell.Outbound.Met:
		wait = api.WaitHoldDown
	}
	return api.DrainingLease{
		LeaseID: l.ID, RunID: l.RunID, Tenant: l.Tenant, Kind: l.Kind, Amount: l.Amount, State: l.State,
		WaitsFor: wait, Until: v.Wall().Add(time.Duration(until - v.Now())),
	}
}
