package cellagent

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// probeEvery is how often the hardware is looked at again.
const probeEvery = time.Minute

// tellAgain is after how many looks an inventory that has not changed, but offers more than the host has, is
// told again: schedulers that had not been raised to know of that have left it out.
const tellAgain = int(time.Hour / probeEvery)

// capacityOf returns what of an inventory may be leased: less reserve, and block as it was
// decided at the start, since how much is free changes all the time.
func capacityOf(inv api.Inventory, reserve api.Resources, block int64) api.Resources {
	whole := api.Resources{CPU: inv.TotalCPU * 1000, Mem: inv.TotalMem, Net: inv.TotalNet, GPU: int64(min(inv.GPUCount, api.MaxGPUOrdinals))}
	reserve.Block = 0
	left := whole.Sub(reserve).Floor()
	left.Block = max(block, 0) / api.BlockSize * api.BlockSize
	return left
}

// least returns the smaller amount in every dimension: hardware that was added to a running
// host is in the inventory (but for GPUs, see ordinals), and is leased by the next agent.
func least(a, b api.Resources) api.Resources {
	for _, k := range api.LeaseKinds() {
		a = a.With(k, min(a.Get(k), b.Get(k)))
	}
	return a
}

// surveyor reports the inventory at the start, whenever it has changed, and now and then one that overcommits.
type surveyor struct {
	probe    func(context.Context) (api.Inventory, error)
	capacity func(api.Inventory) api.Resources
	outbox   *outbox
	log      hclog.Logger

	mu    sync.Mutex
	last  *api.InventoryReport
	quiet int // looks since it was told
}

// survey looks once.
func (s *surveyor) survey(ctx context.Context) error {
	inv, err := s.probe(ctx)
	if err != nil {
		return err
	}
	r := api.InventoryReport{Inventory: inv, Capacity: s.capacity(inv)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet++
	if s.last != nil && reflect.DeepEqual(*s.last, r) {
		if len(inv.Overcommit) > 0 && s.quiet >= tellAgain {
			s.tell()
		}
		return nil
	}
	s.last = &r
	s.tell()
	s.log.Info("inventory", "cores", inv.TotalCPU, "mem", inv.TotalMem, "block", r.Capacity.Block,
		"nics", inv.NICCount, "gpus", inv.GPUCount)
	return nil
}

// repeat reports what was found last once more: to schedulers that have just registered the agent.
func (s *surveyor) repeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		s.tell()
	}
}

// tell reports what was found last. mu is held.
func (s *surveyor) tell() {
	s.quiet = 0
	s.outbox.putInventory(*s.last)
}

// run looks again and again until ctx ends.
func (s *surveyor) run(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.survey(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("inventory not read", "error", err)
			}
		}
	}
}
