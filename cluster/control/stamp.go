package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

const (
	// stampAge is how old a heartbeat may be to stamp a renewal: the cell refuses what is older
	// than the delivery bound when it arrives, and the way there takes time too.
	stampAge = api.DeliveryBound - 2*time.Second
	// stampLook is how often a heartbeat is looked for that is not there yet.
	stampLook = 50 * time.Millisecond
)

// stamp returns the cell's newest heartbeat: by it the cell tells a renewal that was long
// under way. Without one a renewal would be committed and never applied, under its key for
// ever. A leader that has just started may not know of any yet: it waits for one, as long as
// a cell may take to bind.
func (c *Control) stamp(ctx context.Context, l api.Lease, key fsm.Idem) (api.Stamp, error) {
	ctx, cancel := context.WithTimeout(ctx, api.BindBound)
	defer cancel()
	look := time.NewTicker(stampLook)
	defer look.Stop()
	for {
		if _, done := c.cfg.Machine.View().IdemKey(key.Scope, key.Key); done {
			return api.Stamp{}, nil // its outcome is repeated
		}
		if now, ok := c.cfg.Machine.View().Lease(l.ID); !ok || !now.State.Usable() {
			return api.Stamp{}, nil // it is refused for what it is
		}
		sight := c.sight(l.CellID)
		if sight.StampAge < stampAge {
			return sight.Stamp, nil
		}
		select {
		case <-look.C:
			if !c.cfg.Cluster.Leads() {
				return api.Stamp{}, api.Refuse(api.NoLeader, "leadership moved before lease %s was renewed", l.ID)
			}
		case <-ctx.Done():
			return api.Stamp{}, unheard(l)
		}
	}
}

// sight is what the schedulers saw last of a cell.
func (c *Control) sight(id api.CellID) rumor.Sight {
	if rec, ok := c.cfg.Machine.View().Cell(id); ok {
		if s, seen := c.cfg.Sightings.Best(id, rec.Epoch); seen {
			return s
		}
	}
	return rumor.Sight{StampAge: rumor.Never}
}

// missed reports whether a cell has not bound the newest generation of a lease, and refuses it whenever it hears of it:
// it has said that its clock is past what it takes.
func (c *Control) missed(l api.Lease) bool {
	now := c.sight(l.CellID).Stamp
	return l.BoundGeneration < l.Generation && now.BootID == l.Stamp.BootID && now.BootTime-l.Stamp.BootTime > int64(api.DeliveryBound)
}

// notRenewed is the answer to a renewal that its cell has missed.
func notRenewed(l api.Lease) *api.Error {
	e := api.Refuse(api.BindTimeout, "cell %s did not hear of the renewal of lease %s to generation %d in time and refuses it now: the lease goes on in generation %d, to its end of before",
		l.CellID, l.ID, l.Generation, l.BoundGeneration).
		WithHint("renew it again, with a new idempotency key: grafos lease renew %s --ttl DURATION", l.ID)
	e.Provider, e.RetryAfterMs = l.Provider, 100
	return e
}

// unheard refuses a renewal that its cell could not apply.
func unheard(l api.Lease) *api.Error {
	e := api.Refuse(api.BindTimeout, "lease %s was not renewed, and ends at %s: no scheduler has heard its cell %s within the last %s",
		l.ID, l.ExpiresAt.Format(time.RFC3339), l.CellID, stampAge).
		WithHint("repeat the request; see the cell: grafos provider status %s", l.Provider)
	e.Provider, e.RetryAfterMs = l.Provider, 100
	return e
}
