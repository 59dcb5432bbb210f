package control

import (
	"context"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// Report takes what a cell says. Its heartbeat stays in memory; what must be committed goes
// to the leader, and the answer comes when it is.
func (c *Control) Report(ctx context.Context, p api.ProviderID, cell api.CellID, r api.Report) (*api.ReportAnswer, error) {
	if err := checkReport(r); err != nil {
		return nil, err
	}
	if _, err := c.record(ctx, p, cell, r.Epoch); err != nil {
		return nil, err
	}
	if r.Heartbeat != nil {
		c.cfg.Sightings.Heartbeat(cell, r.Epoch, *r.Heartbeat, c.cfg.Limit)
	}
	answer := &api.ReportAnswer{Index: c.cfg.Machine.View().Index()}
	if !r.Effects() {
		return answer, nil
	}
	err := c.viaLeader(ctx, func(ctx context.Context, leader api.Peers) error {
		a, err := leader.TakeReport(ctx, p, cell, r)
		if err == nil {
			answer = a
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func checkReport(r api.Report) error {
	for what, n := range map[string]int{"bound": len(r.Bound), "ended": len(r.Ended), "runs": len(r.Runs), "minted": len(r.Minted)} {
		if n > api.MaxReportItems {
			return api.Refuse(api.TooLarge, "%s has %d items: at most %d a report", what, n, api.MaxReportItems)
		}
	}
	return nil
}

// reportChunk bounds the items of one command: an entry holds many commands.
const reportChunk = 64

// TakeReport commits the effects of a report; leader only. Tokens stop here: they go to
// whoever waits for them and nowhere else.
func (c *Control) TakeReport(ctx context.Context, _ api.ProviderID, cell api.CellID, r api.Report) (*api.ReportAnswer, error) {
	if err := checkReport(r); err != nil {
		return nil, err
	}
	if !c.cfg.Cluster.Leads() {
		return nil, api.Refuse(api.NoLeader, "scheduler %s does not lead", c.cfg.Node)
	}
	for _, m := range r.Minted {
		c.mints.answer(m)
	}
	for i, b := range r.Bound {
		c.tokens.put(b.LeaseID, b.Generation, b.Token)
		r.Bound[i].Token = ""
	}
	answer := &api.ReportAnswer{Index: c.cfg.Machine.View().Index()}
	for _, cmd := range chunks(cell, r) {
		res, err := c.cfg.Decider.Submit(ctx, cmd)
		if err != nil {
			return nil, err
		}
		answer.Index = res.Index
		answer.Refused = append(answer.Refused, res.Refused...)
	}
	return answer, nil
}

// chunks splits a report into commands that fit. Results of runs come before the ends of
// leases, as in the report: the end of a run's lease must not overtake its result.
func chunks(cell api.CellID, r api.Report) []fsm.ReportCell {
	var out []fsm.ReportCell
	next := func() *fsm.ReportCell {
		out = append(out, fsm.ReportCell{Cell: cell, Epoch: r.Epoch})
		return &out[len(out)-1]
	}
	if len(r.Bound)+len(r.Ended)+len(r.Runs) <= reportChunk {
		if r.Inventory == nil && len(r.Bound)+len(r.Ended)+len(r.Runs) == 0 {
			return nil
		}
		*next() = fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Inventory: r.Inventory, Bound: r.Bound, Ended: r.Ended, Runs: r.Runs}
		return out
	}
	if r.Inventory != nil {
		next().Inventory = r.Inventory
	}
	for i := 0; i < len(r.Bound); i += reportChunk {
		next().Bound = r.Bound[i:min(i+reportChunk, len(r.Bound))]
	}
	for i := 0; i < len(r.Runs); i += reportChunk {
		next().Runs = r.Runs[i:min(i+reportChunk, len(r.Runs))]
	}
	for i := 0; i < len(r.Ended); i += reportChunk {
		next().Ended = r.Ended[i:min(i+reportChunk, len(r.Ended))]
	}
	return out
}
