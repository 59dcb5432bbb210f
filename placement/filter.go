package placement

import (
	"fmt"

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
	case !c.HasStamp:
		return stageVetoed
	}
	return stageFits
}

func closed(c *Cell) bool {
	return c.Revoking || c.Revoked || c.Mode != "" && c.Mode != api.ModeAccepting
}

// vetoes lists every reason why a cell cannot take the request, not only the first.
func vetoes(c *Cell, ask api.Resources) []api.Veto {
	list := []api.Veto{}
	add := func(code, format string, args ...any) {
		list = append(list, api.Veto{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	for _, q := range c.Readiness.Unmet() {
		add(string(q), "%s", reason(c, q))
	}
	switch {
	case c.Revoked:
		add("revoked", "its identity is revoked")
	case c.Revoking:
		add("revoking", "it is being revoked")
	case closed(c):
		add(string(c.Mode), "it is %s and takes no new work", c.Mode)
	}
	for _, k := range c.Capacity.Short(ask) {
		add("insufficient_"+string(k), "it has %d %s of %s in all, %d are asked for", c.Capacity.Get(k), k.Unit(), k, ask.Get(k))
	}
	for _, k := range c.Free.Short(ask) {
		if ask.Get(k) > c.Capacity.Get(k) {
			continue // said above
		}
		free := c.Free.Floor().Get(k)
		if fenced := c.Fenced.Get(k); fenced > 0 {
			add("full_"+string(k), "%d of %d %s of %s are free, %d are fenced, %d are asked for", free, c.Capacity.Get(k), k.Unit(), k, fenced, ask.Get(k))
			continue
		}
		add("full_"+string(k), "%d of %d %s of %s are free, %d are asked for", free, c.Capacity.Get(k), k.Unit(), k, ask.Get(k))
	}
	if !c.HasStamp && c.Readiness.Ready() {
		add("heartbeat_unknown", "the leader has no heartbeat of it that is fresh enough to date a grant")
	}
	return list
}

func reason(c *Cell, q api.Requirement) string {
	for _, r := range c.Reasons {
		if r.Requirement == q && r.Message != "" {
			return r.Message
		}
	}
	return "not met"
}
