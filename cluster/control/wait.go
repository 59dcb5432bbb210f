package control

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// interest is what a blocking read waits for: it looks again when one of its topics fires,
// and answers when changed says that something of its answer changed after an index.
type interest struct {
	topics  [maxTopics]fsm.Topic // those that are not used are ""
	changed func(after uint64) bool
}

// maxTopics bounds the topics of one interest.
const maxTopics = 4

func topicsOf(topics []fsm.Topic) (all [maxTopics]fsm.Topic) {
	copy(all[:], topics)
	return all
}

// oneOf is the interest in answers that change with each of the topics.
func (c *Control) oneOf(topics ...fsm.Topic) interest {
	return interest{topicsOf(topics), func(after uint64) bool {
		for _, t := range topics {
			if c.cfg.Machine.LastChange(t) > after {
				return true
			}
		}
		return false
	}}
}

// allOf is the interest in records that belong to each of the topics: one that changed after
// an index fired all of them after it.
func (c *Control) allOf(topics ...fsm.Topic) interest {
	return interest{topicsOf(topics), func(after uint64) bool {
		for _, t := range topics {
			if c.cfg.Machine.LastChange(t) <= after {
				return false
			}
		}
		return true
	}}
}

// leasesOf is the interest in the leases that a filter takes, whatever their state.
func (c *Control) leasesOf(ctx context.Context, f api.LeaseFilter) interest {
	if f.Run != "" {
		return c.runOf(ctx, f.Run)
	}
	topics := []fsm.Topic{fsm.TopicLeases}
	if f.Cell != "" {
		topics = append(topics, fsm.CellTopic(f.Cell))
	}
	if f.Tenant != "" {
		topics = append(topics, fsm.LeasesOf(f.Tenant))
	}
	if f.Provider != "" {
		topics = append(topics, fsm.LeasesAt(f.Provider))
	}
	return c.allOf(topics...)
}

// runsOf is the interest in the runs that a filter takes, whatever their state.
func (c *Control) runsOf(f api.RunFilter) interest {
	topics := []fsm.Topic{fsm.TopicRuns}
	if f.Cell != "" {
		topics = append(topics, fsm.CellTopic(f.Cell))
	}
	if f.Tenant != "" {
		topics = append(topics, fsm.RunsOf(f.Tenant))
	}
	if f.Provider != "" {
		topics = append(topics, fsm.RunsAt(f.Provider))
	}
	return c.allOf(topics...)
}

// leaseOf is the interest in one lease. One that does not exist, or not for the caller, is
// not waited for: there is nothing to learn of it.
func (c *Control) leaseOf(ctx context.Context, id api.LeaseID) interest {
	return interest{topicsOf([]fsm.Topic{fsm.LeaseTopic(id)}), func(after uint64) bool {
		l, ok := c.cfg.Machine.View().Lease(id)
		return !ok || !sees(ctx, l.Tenant) || l.Modified > after
	}}
}

// runOf is the interest in one run and its leases, like leaseOf.
func (c *Control) runOf(ctx context.Context, id api.RunID) interest {
	return interest{topicsOf([]fsm.Topic{fsm.RunTopic(id)}), func(after uint64) bool {
		v := c.cfg.Machine.View()
		r, ok := v.Run(id)
		if !ok || !sees(ctx, r.Tenant) || r.Modified > after {
			return true
		}
		for _, l := range v.LeasesOfRun(id) {
			if l.Modified > after {
				return true
			}
		}
		return false
	}}
}

// cellsOf is the interest in a provider's cells, or all of them, and in what is leased on
// them: a cell is shown with what it has free.
func (c *Control) cellsOf(p api.ProviderID) interest {
	if p == "" {
		return c.oneOf(fsm.TopicCells, fsm.TopicLeases)
	}
	return c.oneOf(fsm.CellsOf(p), fsm.LeasesAt(p))
}

// tenantsOf is the interest in tenants and what they hold: in all, or in one's own.
func (c *Control) tenantsOf(own api.TenantID) interest {
	if own == "" {
		return c.oneOf(fsm.TopicTenants, fsm.TopicLeases)
	}
	return c.oneOf(fsm.TopicTenants, fsm.LeasesOf(own))
}

// waitChange waits for a change after o.AfterIndex, at most o.Wait and a little more.
func (c *Control) waitChange(ctx context.Context, o api.ReadOptions, in interest) {
	wait := min(o.Wait, api.MaxWait)
	timer := time.NewTimer(wait + c.jitter(wait/api.WaitJitter))
	defer timer.Stop()
	for {
		var fired [maxTopics]<-chan struct{} // that of no topic never fires
		for i, t := range in.topics {
			if t != "" {
				fired[i] = c.cfg.Machine.Changed(t)
			}
		}
		if in.changed(o.AfterIndex) {
			return
		}
		select {
		case <-fired[0]:
		case <-fired[1]:
		case <-fired[2]:
		case <-fired[3]:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// jitter is a random part of most.
func (c *Control) jitter(most time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(c.cfg.Random, b[:]); err != nil {
		return 0 // readers who began together come back together: no harm to any of them
	}
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(most+1))
}
