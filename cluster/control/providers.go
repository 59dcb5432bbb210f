package control

import (
	"context"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// ListProviders lists every provider with its readiness.
func (c *Control) ListProviders(ctx context.Context, o api.ReadOptions) (*api.ProviderList, error) {
	v, err := c.view(ctx, o, c.cellsOf(""))
	if err != nil {
		return nil, err
	}
	list := &api.ProviderList{Index: v.Index(), Providers: []api.ProviderSummary{}, Freshness: v.fresh}
	for _, p := range v.Providers() {
		list.Providers = append(list.Providers, summary(v.View, p))
	}
	return list, nil
}

// ProviderStatus shows one provider and all of its cells.
func (c *Control) ProviderStatus(ctx context.Context, p api.ProviderID, o api.ReadOptions) (*api.ProviderStatus, error) {
	v, err := c.view(ctx, o, c.cellsOf(p))
	if err != nil {
		return nil, err
	}
	s, err := c.status(v.View, p)
	if err != nil {
		return nil, err
	}
	s.Freshness = v.fresh
	return s, nil
}

func (c *Control) status(v *fsm.View, p api.ProviderID) (*api.ProviderStatus, error) {
	rec, ok := v.Provider(p)
	if !ok {
		return nil, api.Refuse(api.NotFound, "provider %q does not exist", p).WithHint("see which do: grafos provider list")
	}
	cells := c.cells(v, p)
	return &api.ProviderStatus{Index: v.Index(), ProviderSummary: summary(v, rec), Cells: cells}, nil
}

func (c *Control) cells(v *fsm.View, p api.ProviderID) []api.Cell {
	cells := []api.Cell{}
	for _, rec := range v.Cells(p) {
		cells = append(cells, c.show(v, rec))
	}
	return cells
}

// ListCells lists the fleet, or one provider's part of it.
func (c *Control) ListCells(ctx context.Context, p api.ProviderID, o api.ReadOptions) (*api.CellList, error) {
	v, err := c.view(ctx, o, c.cellsOf(p))
	if err != nil {
		return nil, err
	}
	if _, ok := v.Provider(p); p != "" && !ok {
		return nil, api.Refuse(api.NotFound, "provider %q does not exist", p).WithHint("see which do: grafos provider list")
	}
	return &api.CellList{Index: v.Index(), Cells: c.cells(v.View, p), Freshness: v.fresh}, nil
}

// summary adds the cells up, where they are: there may be thousands.
func summary(v *fsm.View, p api.Provider) api.ProviderSummary {
	t := newTally(p)
	v.EachCell(p.ID, func(c *api.CellRecord) {
		t.add(counted{
			revoked: c.Revoked, ready: v.Requirements(c).Ready(), mode: c.Mode,
			leases: v.LeaseCount(c.ID), capacity: c.Capacity, free: v.Free(c),
		})
	})
	return t.sum()
}

// counted is what a cell adds to its provider's summary.
type counted struct {
	revoked, ready bool
	mode           api.CellMode
	leases         int
	capacity, free api.Resources
}

// tally is a summary in the making.
type tally struct {
	api.ProviderSummary
	should, good int // cells that count for the readiness, and those of them that are ready
}

func newTally(p api.Provider) *tally {
	return &tally{ProviderSummary: api.ProviderSummary{Provider: p.ID, Enabled: p.Enabled, Ownership: p.Ownership, Production: p.Production}}
}

func (t *tally) add(c counted) {
	if c.revoked {
		return
	}
	t.CellsTotal++
	t.Leases += c.leases
	t.Capacity = t.Capacity.Add(c.capacity)
	if c.ready {
		t.CellsReady++
		t.Free = t.Free.Add(c.free)
	}
	switch c.mode {
	case api.ModeDrained, api.ModeMaintenance:
		return
	case api.ModeAccepting, api.ModeDraining, api.ModeReturning:
	}
	t.should++
	if c.ready {
		t.good++
	}
}

func (t *tally) sum() api.ProviderSummary {
	t.RuntimeReadiness = readiness(t.Enabled, t.good, t.should)
	return t.ProviderSummary
}

// readiness is the runtime_readiness of spec.md 3; should counts the cells that are not
// revoked, drained or in maintenance.
func readiness(enabled bool, ready, should int) api.RuntimeReadiness {
	switch {
	case !enabled:
		return api.ProviderDisabled
	case ready == 0:
		return api.ProviderNotReady
	case ready >= should:
		return api.ProviderReady
	}
	return api.ProviderDegraded
}

// EnableProvider switches new admissions on or off.
func (c *Control) EnableProvider(ctx context.Context, p api.ProviderID, on bool, o api.WriteOptions) (*api.ProviderStatus, error) {
	id, err := idem(actor(ctx), o, "enable_provider", map[string]any{"provider": p, "on": on})
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return c.ProviderStatus(ctx, p, api.ReadOptions{})
	}
	_, err = c.cfg.Decider.Submit(ctx, fsm.EnableProvider{Actor: actor(ctx), Idem: id, Provider: p, On: on, Reason: o.Reason})
	if err != nil {
		return nil, err
	}
	return c.status(c.cfg.Machine.View(), p)
}

// maxGrace bounds how long a revocation may let leases drain.
const maxGrace = 24 * 60 * 60 * 1000

// RevokeCell begins a revocation; the leader goes on with it until the cell is barred.
func (c *Control) RevokeCell(ctx context.Context, p api.ProviderID, cell api.CellID, r api.RevokeCellRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	if r.GraceMs < 0 || r.GraceMs > maxGrace {
		return nil, api.Refuse(api.InvalidArgument, "grace is %s: it must be from 0 to 24 h", api.FormatMs(r.GraceMs))
	}
	id, err := idem(actor(ctx), o, "revoke_cell", map[string]any{"provider": p, "cell": cell, "request": r})
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return c.ProviderStatus(ctx, p, api.ReadOptions{})
	}
	_, err = c.cfg.Decider.Submit(ctx, fsm.RevokeCell{
		Actor: actor(ctx), Idem: id, Provider: p, Cell: cell, GraceMs: r.GraceMs, Now: r.Now, Reason: o.Reason,
	})
	if err != nil {
		return nil, err
	}
	return c.status(c.cfg.Machine.View(), p)
}
