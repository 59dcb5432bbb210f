package herd

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
)

// take notes what a message asks for.
func (c *cell) take(set api.Desired) {
	c.seen = max(c.seen, set.Index)
	if set.HeartbeatMs > 0 {
		c.heartbeat = time.Duration(set.HeartbeatMs) * time.Millisecond
	}
	for _, l := range set.Leases {
		switch generation, held := c.held[l.ID]; {
		case l.State.Terminal():
			delete(c.held, l.ID)
		case !l.State.Usable():
			delete(c.held, l.ID)
			c.due.Ended = append(c.due.Ended, api.EndedReport{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseTornDown})
		case !held || generation < l.Generation:
			c.held[l.ID] = l.Generation
			c.due.Bound = append(c.due.Bound, api.BoundReport{
				LeaseID: l.ID, Generation: l.Generation, Epoch: l.Epoch, Coordinate: dataURL + "/v1/leases/" + string(l.ID), Token: "of-the-herd",
			})
		}
	}
}

// report sends a heartbeat with whatever there is to say.
func (c *cell) report(ctx context.Context) {
	c.beat.Reset(c.heartbeat)
	said := len(c.due.Bound)+len(c.due.Ended) > 0
	if c.active == nil || !c.active.live || c.herd.hushed.Load() && !said {
		return
	}
	r := c.next()
	short, cancel := context.WithTimeout(ctx, reportTime)
	_, err := c.active.client.Report(short, c.herd.config.Provider, c.id, r)
	cancel()
	if err == nil {
		c.settle(r)
		return
	}
	if ctx.Err() != nil {
		return
	}
	c.herd.failed.Add(1)
	c.herd.note(err)
	if c.failures++; c.failures >= givesUp {
		c.failures = 0
		c.lost(ctx)
		return
	}
	c.beat.Reset(wait(0))
}

// next is what is said next.
func (c *cell) next() api.Report {
	c.seq++
	r := api.Report{Epoch: c.epoch, Heartbeat: &api.Heartbeat{Seq: c.seq, Stamp: api.Stamp{BootID: "boot-" + string(c.id), BootTime: time.Since(c.herd.began).Nanoseconds()}}}
	r.Bound = c.due.Bound[:min(len(c.due.Bound), api.MaxReportItems)]
	r.Ended = c.due.Ended[:min(len(c.due.Ended), api.MaxReportItems)]
	if !c.known {
		r.Inventory = &api.InventoryReport{
			Inventory: api.Inventory{TotalCPU: 64, TotalMem: 256 << 30, Zone: "sim", Rack: string(c.id)},
			Capacity:  api.Resources{CPU: 64_000, Mem: 256 << 30},
		}
	}
	return r
}

// settle drops what was taken.
func (c *cell) settle(r api.Report) {
	c.failures = 0
	c.herd.beats.Add(1)
	c.herd.bound.Add(int64(len(r.Bound)))
	c.herd.ended.Add(int64(len(r.Ended)))
	c.known = c.known || r.Inventory != nil
	c.due.Bound, c.due.Ended = c.due.Bound[len(r.Bound):], c.due.Ended[len(r.Ended):]
	if len(c.due.Bound)+len(c.due.Ended) > 0 {
		c.beat.Reset(0)
	}
}
