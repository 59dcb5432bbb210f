package cellagent

import (
	"context"
	"slices"
	"sync"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/cellagent/work"
)

// Faults say what goes wrong on purpose (binding.Faults).
type Faults interface {
	Happens(what string, k api.LeaseKind) bool
}

// corrupt makes the data plane of a cell that does not keep its promises, so that tests can see that this
// is found. Nothing of it is in the way of a real one.
func corrupt(p *dataPlane, f Faults) {
	c := &corrupted{Broker: p.broker, faults: f, find: p.find, claims: map[string]Claims{}, found: map[api.LeaseID]memory{}}
	p.broker, p.find = c, c.look
}

// misnamed is the gpus that a cell names which says others than a lease has.
func misnamed(g *api.GPUTerms, f Faults) *api.GPUTerms {
	says := *g
	says.Devices = slices.Clone(g.Devices)
	for i := range says.Devices {
		switch {
		case f.Happens(work.FaultOtherGPU, api.KindGPU):
			says.Devices[i]++
		case f.Happens(work.FaultOneGPU, api.KindGPU):
			says.Devices[i] = i
		}
	}
	return &says
}

// corrupted stands between a data plane and what tells it the truth.
type corrupted struct {
	Broker
	faults Faults
	find   func(api.LeaseID) (api.Lease, Opened, int64, error)

	mu     sync.Mutex
	claims map[string]Claims // of the tokens that were good, by their text
	last   Claims
	found  map[api.LeaseID]memory
}

// memory is what a lease was while it was good.
type memory struct {
	lease api.Lease
	open  Opened
}

// keepMost bounds what is remembered.
const keepMost = 4096

// Verify remembers what was good, and is told by Standing of which kind it is.
func (c *corrupted) Verify(token string) (Claims, error) {
	claims, err := c.Broker.Verify(token)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if len(c.claims) < keepMost {
			c.claims[token] = claims
		}
		c.last = claims
		return &lie{Claims: claims, faults: c.faults}, nil
	}
	if old := c.claims[token]; old != nil && api.KindOf(err) == api.TokenExpired {
		return &lie{Claims: old, faults: c.faults, refusal: err, unless: work.FaultServesEnded}, nil
	}
	if k := api.KindOf(err); c.last != nil && (k == api.BadSignature || k == api.WrongAudience) {
		return &lie{Claims: c.last, faults: c.faults, refusal: err, unless: work.FaultAnyToken}, nil
	}
	return nil, err
}

// look remembers the bytes of what was open.
func (c *corrupted) look(id api.LeaseID) (api.Lease, Opened, int64, error) {
	l, open, ends, err := c.find(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && open != nil {
		if len(c.found) < keepMost {
			c.found[id] = memory{l, ghost(l.Amount)}
		}
		return l, open, ends, nil
	}
	if m, ok := c.found[id]; ok && c.faults.Happens(work.FaultServesEnded, m.lease.Kind) {
		return m.lease, m.open, c.never(), nil
	}
	return l, open, ends, err
}

// never is an end that does not come.
func (*corrupted) never() int64 { return 1 << 62 }

// lie is claims that are taken although they should not be.
type lie struct {
	Claims
	faults  Faults
	refusal error  // what Verify said; nil is nothing
	unless  string // the fault that passes over it
	kind    api.LeaseKind
}

// Standing lets tokens pass that are of an older generation, or no tokens.
func (c *lie) Standing(l api.Lease) error {
	c.kind = l.Kind
	if c.refusal != nil && !c.faults.Happens(c.unless, l.Kind) {
		return c.refusal
	}
	err := c.Claims.Standing(l)
	switch api.KindOf(err) { //nolint:exhaustive // what a fault passes over
	case api.StaleGeneration:
		if c.faults.Happens(work.FaultOldTokens, l.Kind) {
			return nil
		}
	case api.CaveatFailed:
		if c.refusal != nil && c.unless == work.FaultAnyToken {
			return nil
		}
	}
	return err
}

// Confirm lets anybody pass for the holder.
func (c *lie) Confirm(u capbroker.Use) error {
	if c.faults.Happens(work.FaultNoProof, c.kind) {
		return nil
	}
	return c.Claims.Confirm(u)
}

// ghost is bytes that are not there any more.
type ghost int64

func (ghost) ReadAt(p []byte, _ int64) (int, error)  { return len(p), nil }
func (ghost) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Size is what it had.
func (g ghost) Size() int64 { return int64(g) }

func (ghost) Until(int64) {}

// Close has nothing to close.
func (ghost) Close(context.Context) error { return nil }

// CloseNow is Close.
func (ghost) CloseNow() bool { return true }
