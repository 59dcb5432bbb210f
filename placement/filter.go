package placement

import (
	"strconv"

	"github.com/grafos/grafos/api"
)

// stage is how far a cell gets; the furthest stage that any cell reaches decides what the
// refusal is.
type stage int

const (
	stageUnready stage = iota // does not meet all six requirements
	stageClosed               // ready, but takes no work: draining, revoking
	stageSmall                // could never hold the request
	stageFull                 // has no room now
	stageVetoed               // has room, but must not be used
	stageFits
)

// HeartbeatUnknown is the code of the veto of a cell from which the leader has no heartbeat
// that is fresh enough to date a grant.
const HeartbeatUnknown = "heartbeat_unknown"

// NotConformant is the code of the veto of a production cell that has not passed the conformance suite.
const NotConformant = "not_conformant"

// reach says how far a cell gets. It is the whole filter; vetoes only puts it into words.
func reach(c *Cell, ask api.Resources) stage {
	switch {
	case !c.Readiness.Ready():
		return stageUnready
	case closed(c):
		return stageClosed
	case !c.Capacity.Fits(ask):
		return stageSmall
	case !c.Free.Fits(ask):
		return stageFull
	case !c.HasStamp, c.Unproven:
		return stageVetoed
	}
	return stageFits
}

func closed(c *Cell) bool {
	return c.Revoking || c.Revoked || c.Mode != "" && c.Mode != api.ModeAccepting
}

// vetoes lists every reason why a cell cannot take the request, not only the first. A
// thousand cells may have one each, so that the words are put together without fmt.
func vetoes(c *Cell, r *Request) []api.Veto {
	ask := c.takes(r)
	list := make([]api.Veto, 0, 2)
	for _, q := range c.Readiness.Unmet() {
		list = append(list, api.Veto{Code: string(q), Message: reason(c, q)})
	}
	switch {
	case c.Revoked:
		list = append(list, api.Veto{Code: "revoked", Message: "its identity is revoked"})
	case c.Revoking:
		list = append(list, api.Veto{Code: "revoking", Message: "it is being revoked"})
	case closed(c):
		list = append(list, api.Veto{Code: string(c.Mode), Message: "it is " + string(c.Mode) + " and takes no new work"})
	}
	if c.Readiness.InventoryReported { // else nobody knows what it has
		for _, k := range api.LeaseKinds() {
			if asked := ask.Get(k); asked > c.Free.Get(k) || asked > c.Capacity.Get(k) {
				list = append(list, lack(c, k, asked))
				if k == api.KindGPU {
					list[len(list)-1].Message += sharing(r)
				}
			}
		}
	}
	if !c.HasStamp && c.Readiness.Ready() {
		list = append(list, api.Veto{Code: HeartbeatUnknown, Message: "the leader has no heartbeat of it that is fresh enough to date a grant"})
	}
	if c.Unproven {
		list = append(list, api.Veto{Code: NotConformant, Message: "it is marked production and has not passed the conformance suite with its present agent"})
	}
	return list
}

// lack is the veto of a resource that there is not enough of: insufficient when there never
// could be, full when there may be later.
func lack(c *Cell, k api.LeaseKind, asked int64) api.Veto {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	total := c.Capacity.Get(k)
	unit := " " + k.Unit() + " of " + string(k)
	if asked > total {
		return api.Veto{Code: "insufficient_" + string(k), Message: "it has " + n(total) + unit + " in all, " + n(asked) + " are asked for"}
	}
	fenced := ""
	if f := c.Fenced.Get(k); f > 0 {
		fenced = ", " + n(f) + " are fenced"
	}
	return api.Veto{
		Code:    "full_" + string(k),
		Message: n(max(c.Free.Get(k), 0)) + " of " + n(total) + unit + " are free" + fenced + ", " + n(asked) + " are asked for",
	}
}

func reason(c *Cell, q api.Requirement) string {
	for _, r := range c.Reasons {
		if r.Requirement == q && r.Message != "" {
			return r.Message
		}
	}
	return "not met"
}
