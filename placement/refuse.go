package placement

import (
	"github.com/grafos/grafos/api"
)

// refusal says why the request cannot be admitted, in the order of the package comment; nil
// when it can.
func refusal(v *View, r Request) *api.Error {
	if e := providerRefusal(v, r); e != nil {
		return e
	}
	furthest := stageUnready
	for i := range v.Cells {
		furthest = max(furthest, reach(&v.Cells[i], v.Cells[i].takes(&r)))
	}
	switch furthest {
	case stageUnready:
		return ineligible(api.ReasonUnready, "no cell of provider %s meets all six requirements", r.Provider).
			WithHint("see what is missing: grafos provider status %s", r.Provider)
	case stageClosed:
		return ineligible(api.ReasonFull, "every ready cell of provider %s is out of service: draining, drained, in maintenance, returning or being revoked", r.Provider).
			WithHint("see what ends it: grafos provider status %s", r.Provider)
	case stageSmall:
		return short(v, r, api.ReasonInsufficient)
	case stageFull, stageVetoed, stageFits:
	}
	if s := r.Quota.Exceeded(r.Used, r.InUse, r.Resources, int64(r.Leases)); s != nil {
		return overQuota(r, s)
	}
	switch furthest {
	case stageFull:
		return short(v, r, api.ReasonFull)
	case stageVetoed:
		return vetoed(v, r)
	case stageUnready, stageClosed, stageSmall, stageFits:
	}
	return nil
}

// vetoed refuses although there is room. A cell that was not tested is more likely to help than one
// that has failed.
func vetoed(v *View, r Request) *api.Error {
	e := api.Refuse(api.PlacementFailed, "provider %s has room for it, but every cell with room was vetoed", r.Provider)
	var proves *Cell
	for i := range v.Cells {
		c := &v.Cells[i]
		if c.Unproven && c.HasStamp && (proves == nil || proves.Failed && !c.Failed) && reach(c, c.takes(&r)) == stageVetoed {
			proves = c
		}
	}
	switch {
	case proves != nil && proves.Failed:
		return e.WithHint("see what the cell fails at, mend it and let it prove itself: grafos conformance run %s %s", r.Provider, proves.ID)
	case proves != nil:
		return e.WithHint("let a production cell prove itself: grafos conformance run %s %s", r.Provider, proves.ID)
	}
	return e.WithHint("see each veto: grafos deploy plan --provider %s", r.Provider)
}

func providerRefusal(v *View, r Request) *api.Error {
	if !v.Known {
		return api.Refuse(api.NotFound, "provider %q does not exist", r.Provider).WithHint("see which do: grafos provider list")
	}
	if !v.Provider.Enabled {
		return api.Refuse(api.RuntimeNotReady, "provider %s is disabled", r.Provider).
			WithHint("switch it on: grafos provider enable %s", r.Provider)
	}
	cells, healthy := 0, 0
	for i := range v.Cells {
		if v.Cells[i].Revoked {
			continue
		}
		cells++
		if v.Cells[i].Readiness.HealthyCell {
			healthy++
		}
	}
	if cells == 0 {
		return api.Refuse(api.RuntimeNotReady, "provider %s has no cell", r.Provider).
			WithHint("bring one in: grafos admin bootstrap-token --provider %s, then grafos cloud bootstrap-cell on the host", r.Provider)
	}
	if healthy == 0 {
		return api.Refuse(api.RuntimeNotReady, "none of the %d cells of provider %s is healthy", cells, r.Provider).
			WithHint("see why: grafos provider status %s", r.Provider)
	}
	return nil
}

func ineligible(reason, format string, args ...any) *api.Error {
	e := api.Refuse(api.NoEligibleProviderCells, format, args...)
	e.Reason = reason
	return e
}

func overQuota(r Request, s *api.Shortage) *api.Error {
	e := api.Refuse(api.QuotaExceeded, "tenant %s would pass its quota of %s: limit %d, in use %d, asked %d", r.Tenant, s.Resource, s.Limit, s.InUse, s.Asked).
		WithHint("free leases (grafos lease list --tenant %s), or ask an operator to raise it: grafos admin set-quota %s", r.Tenant, r.Tenant)
	e.Shortage = s
	return e
}

// short refuses for want of room and says how much is missing on the nearest cell: the
// one that lacks the smallest part of what is asked.
func short(v *View, r Request, reason string) *api.Error {
	want := stageSmall
	if reason == api.ReasonFull {
		want = stageFull
	}
	var near *Cell
	var nearKind api.LeaseKind
	least := int64(-1)
	for i := range v.Cells {
		c := &v.Cells[i]
		ask := c.takes(&r)
		if reach(c, ask) != want {
			continue
		}
		kind, lack := lacks(c, ask, reason)
		if near == nil || lack < least || lack == least && c.ID < near.ID {
			near, nearKind, least = c, kind, lack
		}
	}
	total, asked := near.Capacity.Get(nearKind), r.Resources.Get(nearKind)
	used := total - near.Free.Get(nearKind)
	var e *api.Error
	if reason == api.ReasonInsufficient {
		e = ineligible(reason, "no cell of provider %s could ever hold it: the nearest, %s, has %d %s of %s, %d are asked for",
			r.Provider, near.ID, total, nearKind.Unit(), nearKind, asked).WithHint("ask for less, or bring in a larger cell")
	} else {
		e = ineligible(reason, "no cell of provider %s has room now: the nearest, %s, has %d of %d %s of %s free, %d are asked for",
			r.Provider, near.ID, max(total-used, 0), total, nearKind.Unit(), nearKind, asked)
		full(v, r, e)
	}
	e.Shortage = &api.Shortage{Resource: string(nearKind), Limit: total, InUse: used, Asked: asked}
	return e
}

// full says what may help where no cell has room now. A fence does not go by itself: where fences
// are in the way on every cell, nothing comes of waiting.
func full(v *View, r Request, e *api.Error) {
	var fenced *Cell // the first whose fences alone are what is missing, or else are in the way
	enough, waits := false, false
	for i := range v.Cells {
		c := &v.Cells[i]
		ask := c.takes(&r)
		if reach(c, ask) != stageFull {
			continue
		}
		alone, inTheWay := c.Free.Add(c.Fenced).Fits(ask), !c.Capacity.Sub(c.Fenced).Fits(ask)
		if (alone || inTheWay) && (fenced == nil || alone && !enough) {
			fenced, enough = c, alone
		}
		waits = waits || !inTheWay
	}
	e.Hint = "repeat it when something was given back, or ask for less"
	if waits {
		e.RetryAfterMs = 1000
	} else {
		e.Hint = "ask for less"
	}
	if fenced != nil && (enough || !waits) {
		e.Hint += ". Some of " + string(fenced.ID) + " is fenced, which no waiting gives back: an operator sees it with grafos admin list-fenced-leases"
	}
}

// lacks returns the resource of which the cell lacks the largest part of what is asked, in
// thousandths.
func lacks(c *Cell, ask api.Resources, reason string) (api.LeaseKind, int64) {
	have := c.Free
	if reason == api.ReasonInsufficient {
		have = c.Capacity
	}
	var worst api.LeaseKind
	most := int64(-1)
	for _, k := range have.Short(ask) {
		missing := ask.Get(k) - max(have.Get(k), 0)
		if part := permille(missing, ask.Get(k)); part > most {
			worst, most = k, part
		}
	}
	return worst, most
}

// permille is part of total in thousandths. MaxAmount keeps the product in range.
func permille(part, total int64) int64 { return part * 1000 / max(total, 1) }
