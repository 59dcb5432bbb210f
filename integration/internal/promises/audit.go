package promises

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// audit verifies every scheduler's copy of the chain (L9), and replays it: capacity (L1) and
// quota (L2) held at every record, every acknowledged grant is in it once.
func (c *checker) audit(ctx context.Context) error {
	if err := c.chains(ctx); err != nil {
		return err
	}
	return c.replay(ctx)
}

// chains verifies every scheduler's copy of the chain.
func (c *checker) chains(ctx context.Context) error {
	var chains [][]api.AuditRecord
	for _, n := range c.nodes {
		records, err := c.chain(ctx, n)
		if err != nil {
			return err
		}
		chains = append(chains, records)
	}
	shortest := len(chains[0])
	for _, records := range chains {
		shortest = min(shortest, len(records))
	}
	for i, records := range chains[1:] {
		if shortest > 0 && records[shortest-1].Hash != chains[0][shortest-1].Hash {
			c.breach("L9: the chains of %s and %s differ", c.nodes[0].Name, c.nodes[i+1].Name)
		}
	}
	c.Chain = chains[0]
	return nil
}

// fetchTime is how long a scheduler may take to fetch from the others what of its copy turns
// out to be damaged when it is read.
const fetchTime = 30 * time.Second

// chain reads one scheduler's copy, whole, and verifies it.
func (c *checker) chain(ctx context.Context, n Node) ([]api.AuditRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	page, err := n.Client.AuditRecords(ctx, api.AuditFilter{}, api.ReadOptions{})
	for err != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("read the chain of %s: %w", n.Name, err)
		}
		if again, later := n.Client.AuditRecords(ctx, api.AuditFilter{}, api.ReadOptions{}); later == nil || ctx.Err() == nil {
			page, err = again, later
		}
	}
	v := api.NewAuditVerifier(api.AuditHead{})
	for _, r := range page.Records {
		if err := v.Next(r); err != nil {
			c.breach("L9: the chain of %s: %v", n.Name, err)
			return page.Records, nil
		}
	}
	if v.Head().Sequence < page.Head.Sequence {
		c.breach("L9: %s shows %d records, its head is %d", n.Name, v.Head().Sequence, page.Head.Sequence)
	}
	return page.Records, nil
}

// Fact is the part of an audit record's data that tells of a lease or a run.
type Fact struct {
	Lease  api.LeaseID   `json:"lease_id"`
	Run    api.RunID     `json:"run_id"`
	Tenant api.TenantID  `json:"tenant"`
	Cell   api.CellID    `json:"cell_id"`
	Kind   api.LeaseKind `json:"kind"`
	Amount int64         `json:"amount"`
	Reason string        `json:"reason"`
}

// FactOf reads a record's data.
func FactOf(r api.AuditRecord) (Fact, error) {
	var f Fact
	if err := json.Unmarshal(r.Data, &f); err != nil {
		return f, fmt.Errorf("audit record %d: %w", r.Sequence, err)
	}
	return f, nil
}

// about names what a record is about: the lease, or else the run.
func about(kind string, f Fact) string {
	if f.Lease == "" && strings.HasPrefix(kind, "run_") {
		return string(f.Run)
	}
	return string(f.Lease)
}

// replay counts along the chain.
func (c *checker) replay(ctx context.Context) error {
	cells, err := c.all.ListCells(ctx, "", api.ReadOptions{})
	if err != nil {
		return err
	}
	l := newLedger(c)
	for _, cell := range cells.Cells {
		l.capacity[cell.CellID] = cell.Capacity
	}
	for _, r := range c.Chain {
		f, err := FactOf(r)
		if err != nil {
			return err
		}
		l.take(r, f)
	}
	l.once()
	c.note("%d audit records verified on every scheduler", len(c.Chain))
	return nil
}

// ledger is what the chain says is held.
type ledger struct {
	*checker
	capacity, used map[api.CellID]api.Resources
	held           map[api.TenantID]int64
	counts         map[string]int // of records, by kind and what they are about
}

func newLedger(c *checker) *ledger {
	return &ledger{
		checker: c, capacity: map[api.CellID]api.Resources{}, used: map[api.CellID]api.Resources{},
		held: map[api.TenantID]int64{}, counts: map[string]int{},
	}
}

// take books one record.
func (l *ledger) take(r api.AuditRecord, f Fact) {
	l.counts[r.Kind+" "+about(r.Kind, f)]++
	used := l.used[f.Cell]
	switch r.Kind {
	case "lease_granted":
		l.used[f.Cell] = used.With(f.Kind, used.Get(f.Kind)+f.Amount)
		l.held[f.Tenant]++
		if !l.capacity[f.Cell].Fits(l.used[f.Cell]) {
			l.breach("L1: after record %d cell %s holds %+v of %+v", r.Sequence, f.Cell, l.used[f.Cell], l.capacity[f.Cell])
		}
		if limit, ok := l.told.Quotas[f.Tenant]; ok && l.held[f.Tenant] > limit {
			l.breach("L2: after record %d tenant %s holds %d leases of %d", r.Sequence, f.Tenant, l.held[f.Tenant], limit)
		}
	case "lease_torndown", "lease_failed_closed":
		if noRoom(f.Kind, f.Reason) {
			l.breach("L4: cell %s had no room for lease %s, which was granted there: %s", f.Cell, f.Lease, f.Reason)
		}
		l.used[f.Cell] = used.With(f.Kind, used.Get(f.Kind)-f.Amount)
		l.held[f.Tenant]--
	case "lease_fenced":
		l.breach("lease %s was fenced", f.Lease)
	}
}

// noRoom reports whether a lease ended because its cell had already given away what the lease was to
// have. A disk that is full refuses leases too, and breaks no promise: blocks, and what the ledger cannot keep.
func noRoom(kind api.LeaseKind, reason string) bool {
	if kind == api.KindBlock {
		return strings.HasPrefix(reason, "bind_failed: ") && strings.Contains(reason, " are free")
	}
	return strings.HasPrefix(reason, "bind_failed: ") && !strings.HasPrefix(reason, "bind_failed: write ledger: ")
}

// once: what was acknowledged is in the chain, and no grant is in it twice.
func (l *ledger) once() {
	for _, ids := range l.told.Grants {
		for _, id := range ids {
			if n := l.counts["lease_granted "+string(id)]; n != 1 {
				l.breach("L9: the grant of %s is in the chain %d times", id, n)
			}
		}
	}
	for id := range l.told.Runs {
		for _, kind := range []string{"run_finished", "run_finalised"} {
			if n := l.counts[kind+" "+string(id)]; n != 1 {
				l.breach("L8: %s of %s is in the chain %d times", kind, id, n)
			}
		}
	}
	for what, n := range l.counts {
		if n > 1 && strings.HasPrefix(what, "lease_granted ") {
			l.breach("L9: %s is in the chain %d times", what, n)
		}
	}
}
