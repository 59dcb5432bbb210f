package control

import (
	"context"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// Report takes what a cell says. Its heartbeat stays in memory; what must be committed goes
// to the leader, and the answer comes when it is.
func (c *Control) Report(ctx context.Context, p api.ProviderID, cell api.CellID, r api.Report) (*api.ReportAnswer, error) {
	if err := checkReport(r); err != nil {
		return nil, err
	}
	if err := c.current(ctx, p, cell, r.Epoch); err != nil {
		return nil, err
	}
	if r.Heartbeat != nil {
		_, limit := c.timers()
		c.cfg.Sightings.Heartbeat(cell, r.Epoch, *r.Heartbeat, limit)
	}
	v := c.cfg.Machine.View()
	if v.Level() < fsm.LevelProgress {
		r.Progress = nil // some member could not read it; the ends come all the same
	}
	if v.Level() < fsm.LevelNetUsage {
		r.Runs = slices.Clone(r.Runs)
		for i := range r.Runs {
			r.Runs[i].Net, r.Runs[i].CPUMs = nil, 0 // of the same level
		}
	}
	if inv := r.Inventory; inv != nil && v.Level() < fsm.LevelOvercommit {
		plain := *inv
		plain.Inventory.Overcommit = nil // it is shown and decides nothing
		r.Inventory = &plain
	}
	answer := &api.ReportAnswer{Index: v.Index()}
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
	for what, n := range map[string]int{"bound": len(r.Bound), "ended": len(r.Ended), "runs": len(r.Runs), "minted": len(r.Minted), "progress": len(r.Progress)} {
		if n > api.MaxReportItems {
			return api.Refuse(api.TooLarge, "%s has %d items: at most %d a report", what, n, api.MaxReportItems)
		}
	}
	return nil
}

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
		c.mints.answer(cell, m)
	}
	tokens := r.Bound
	r.Bound = withoutTokens(r.Bound)
	answer := &api.ReportAnswer{Index: c.cfg.Machine.View().Index()}
	for _, cmd := range chunks(cell, r) {
		n := len(cmd.Bound)
		res, err := c.commitReport(ctx, cmd, tokens[:n])
		if err != nil {
			return nil, err
		}
		tokens = tokens[n:]
		answer.Index = res.Index
		answer.Refused = append(answer.Refused, res.Refused...)
	}
	return answer, nil
}

// commitReport commits a part of a report, and hands on the tokens of its bindings.
func (c *Control) commitReport(ctx context.Context, cmd fsm.ReportCell, tokens []api.BoundReport) (fsm.Result, error) {
	defer c.tokens.expect(tokens)()
	res, err := c.cfg.Decider.Submit(ctx, cmd)
	if err == nil {
		c.bindings.told(c.takeTokens(tokens, res.Refused))
	}
	return res, err
}

// takeTokens hands the tokens of bindings that were committed to whoever waits, and returns the
// bindings. What was refused is left out: a cell speaks of its own leases only, and the state has
// looked whose they are.
func (c *Control) takeTokens(bound []api.BoundReport, refused []api.ReportRefusal) []api.BoundReport {
	bound = taken(bound, refused)
	for _, b := range bound {
		c.tokens.put(b.LeaseID, b.Generation, b.Token)
	}
	return bound
}

// taken leaves out what was refused.
func taken(bound []api.BoundReport, refused []api.ReportRefusal) []api.BoundReport {
	if len(refused) == 0 {
		return bound
	}
	return slices.DeleteFunc(slices.Clone(bound), func(b api.BoundReport) bool {
		return slices.ContainsFunc(refused, func(r api.ReportRefusal) bool { return r.LeaseID == b.LeaseID })
	})
}

// withoutTokens is what is committed of bindings. The report itself stays as it is, since it may
// have to be taken again by the next leader.
func withoutTokens(bound []api.BoundReport) []api.BoundReport {
	bound = slices.Clone(bound)
	for i := range bound {
		bound[i].Token = ""
	}
	return bound
}

// reportBytes bounds a command that carries a part of a report. What a busy cell says at a time
// fits into one: the commands of a report are committed one after the other.
const reportBytes = 96 << 10

// chunks splits a report into commands that fit into a log entry. Results of runs come before
// the ends of leases: the end of a run's lease must not overtake its result. The inventory
// comes last, when what has ended counts no more.
func chunks(cell api.CellID, r api.Report) []fsm.ReportCell {
	whole := fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Inventory: r.Inventory, Bound: r.Bound, Ended: r.Ended, Runs: r.Runs, Progress: r.Progress}
	if len(r.Bound)+len(r.Ended)+len(r.Runs)+len(r.Progress) == 0 && r.Inventory == nil {
		return nil
	}
	if fsm.EncodedSize(whole) <= reportBytes {
		return []fsm.ReportCell{whole}
	}
	var out []fsm.ReportCell
	out = split(out, r.Bound, func(b []api.BoundReport) fsm.ReportCell {
		return fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Bound: b}
	})
	out = split(out, r.Runs, func(b []api.RunReport) fsm.ReportCell {
		return fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Runs: b}
	})
	out = split(out, r.Progress, func(b []api.LeaseProgress) fsm.ReportCell {
		return fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Progress: b}
	})
	out = split(out, r.Ended, func(b []api.EndedReport) fsm.ReportCell {
		return fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Ended: b}
	})
	if r.Inventory != nil {
		out = append(out, fsm.ReportCell{Cell: cell, Epoch: r.Epoch, Inventory: r.Inventory})
	}
	return out
}

// split appends commands for items, halving what is too large. One item always fits.
func split[T any](out []fsm.ReportCell, items []T, command func([]T) fsm.ReportCell) []fsm.ReportCell {
	if len(items) == 0 {
		return out
	}
	cmd := command(items)
	if len(items) == 1 || fsm.EncodedSize(cmd) <= reportBytes {
		return append(out, cmd)
	}
	half := len(items) / 2
	return split(split(out, items[:half], command), items[half:], command)
}
