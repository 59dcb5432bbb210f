package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// check bounds the report and refuses secrets.
func (c ReportCell) check() *api.Error {
	if p := checkName("cell id", string(c.Cell)); p != nil {
		return p
	}
	if n := max(len(c.Bound), len(c.Ended), len(c.Runs)); n > api.MaxReportItems {
		return api.Refuse(api.TooLarge, "a list of the report has %d items: at most %d are taken", n, api.MaxReportItems)
	}
	for _, b := range c.Bound {
		if b.Token != "" {
			return api.Refuse(api.InvalidArgument, "the report of lease %s carries a token: tokens never enter the log", clip(string(b.LeaseID)))
		}
		if p := first(checkText("lease id", string(b.LeaseID), maxID), checkText("coordinate", b.Coordinate, maxURL)); p != nil {
			return p
		}
	}
	for _, e := range c.Ended {
		if p := first(checkText("lease id", string(e.LeaseID), maxID), checkText("reason", e.Reason, maxReason)); p != nil {
			return p
		}
	}
	for _, r := range c.Runs {
		if p := checkText("run id", string(r.RunID), maxID); p != nil {
			return p
		}
	}
	if c.Inventory != nil {
		return checkInventory(*c.Inventory)
	}
	return nil
}

// clip shortens an id of unknown length for a message.
func clip(s string) string {
	if len(s) > maxID {
		return "of unknown shape"
	}
	return s
}

// checkInventory refuses an inventory that no cell can have.
func checkInventory(r api.InventoryReport) *api.Error {
	inv := r.Inventory
	for _, k := range api.LeaseKinds() {
		if n := r.Capacity.Get(k); n < 0 || n > api.MaxAmount {
			return api.Refuse(api.InvalidArgument, "capacity %s is %d: it must be from 0 to %d", k, n, int64(api.MaxAmount))
		}
	}
	if min(inv.TotalCPU, inv.TotalMem, inv.TotalBlock, inv.TotalNet) < 0 || min(inv.NICCount, inv.GPUCount, inv.NUMANodes) < 0 {
		return api.Refuse(api.InvalidArgument, "the inventory holds a negative amount")
	}
	if n := max(len(inv.GPUs), len(inv.Isolation)); n > maxGPUs || len(inv.Labels) > maxLabels {
		return api.Refuse(api.TooLarge, "the inventory has %d devices or walls and %d labels: at most %d and %d are taken", n, len(inv.Labels), maxGPUs, maxLabels)
	}
	if p := checkOvercommit(inv.Overcommit); p != nil {
		return p
	}
	for _, g := range inv.GPUs {
		if p := first(checkText("gpu model", g.Model, maxActor), checkText("gpu generation", g.Generation, maxCode), checkText("gpu address", g.Address, maxCode)); p != nil {
			return p
		}
	}
	for _, w := range inv.Isolation {
		if p := checkText("isolation", w, maxCode); p != nil {
			return p
		}
	}
	longest := 0
	for k, v := range inv.Labels { // the order does not matter: only the longest does
		longest = max(longest, len(k), len(v))
	}
	if longest > maxActor {
		return api.Refuse(api.TooLarge, "a label has %d bytes: at most %d are taken", longest, maxActor)
	}
	return first(checkText("zone", inv.Zone, api.MaxNameLen), checkText("rack", inv.Rack, api.MaxNameLen))
}

// checkOvercommit refuses a list that is not of kinds, each at most once.
func checkOvercommit(kinds []api.LeaseKind) *api.Error {
	for i, k := range kinds {
		if !slices.Contains(api.LeaseKinds(), k) || slices.Contains(kinds[:i], k) {
			return api.Refuse(api.InvalidArgument, "the inventory is beyond the hardware in %s, which is no kind or stands there twice", clip(string(k)))
		}
	}
	return nil
}
