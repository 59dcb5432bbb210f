package promises

import (
	"context"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
)

// Told is what clients were told, and the limits that held.
type Told struct {
	Grants map[string][]api.LeaseID // by idempotency key: acknowledged
	Runs   map[api.RunID]api.Run    // as they were first seen with their result
	Quotas map[api.TenantID]int64   // of leases
}

// Node is one scheduler, and a client of it alone.
type Node struct {
	Name   string
	Client *client.Client
}

// Report is what was found.
type Report struct {
	// Breaches is empty when every promise was kept.
	Breaches []string
	// Notes say how much was looked at.
	Notes []string
	// Chain is the audit chain, verified; it is the same on every scheduler.
	Chain []api.AuditRecord
}

func (r *Report) breach(format string, args ...any) {
	r.Breaches = append(r.Breaches, fmt.Sprintf(format, args...))
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// checker is one look at a cluster.
type checker struct {
	Report
	all   *client.Client
	nodes []Node
	told  Told
}

// Check looks at a cluster whose clients have stopped; all is a client of any scheduler. An
// error is a cluster that could not be asked.
func Check(ctx context.Context, all *client.Client, nodes []Node, told Told) (*Report, error) {
	c := &checker{all: all, nodes: nodes, told: told}
	for _, look := range []func(context.Context) error{c.leases, c.runs, c.agreement, c.audit} {
		if err := look(ctx); err != nil {
			return &c.Report, err
		}
	}
	return &c.Report, nil
}

// Agree looks at what the schedulers say of their state alone: one state at every index, and
// one audit chain, whole.
func Agree(ctx context.Context, nodes []Node) (*Report, error) {
	c := &checker{nodes: nodes}
	if err := c.agreement(ctx); err != nil {
		return &c.Report, err
	}
	return &c.Report, c.chains(ctx)
}

// look is how often Settle looks.
const look = 200 * time.Millisecond

// Settle waits until every lease has ended and every run is final, or for ctx: then it says
// what is left.
func Settle(ctx context.Context, all *client.Client) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		left, err := unsettled(ctx, all)
		if err != nil || left == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", left, ctx.Err())
		}
	}
}

// unsettled says what has not ended; "" is nothing.
func unsettled(ctx context.Context, all *client.Client) (string, error) {
	list, err := all.ListLeases(ctx, api.LeaseFilter{}, api.ReadOptions{})
	if err != nil {
		return "", err
	}
	live, example := 0, ""
	for _, l := range list.Leases {
		if !l.State.Terminal() {
			live++
			example = fmt.Sprintf("lease %s on %s is %s (%s)", l.ID, l.CellID, l.State, l.Reason)
		}
	}
	runs, err := all.ListRuns(ctx, api.RunFilter{}, api.ReadOptions{})
	if err != nil {
		return "", err
	}
	for _, r := range runs.Runs {
		if !r.Finalised {
			live++
			example = fmt.Sprintf("run %s on %s is %s", r.ID, r.CellID, r.State)
		}
	}
	if live == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d leases and runs have not ended, such as %s", live, example), nil
}
