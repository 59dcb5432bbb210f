// Package fsmcheck follows a state machine entry by entry and finds the first one that breaks
// a promise. It believes nothing that the state says of itself: it keeps sums of its own from
// the changes that each entry made, in time that goes with the changes and not with the state,
// so that a simulation can ask after every entry. fsm.Check, which looks at everything, is for
// now and then.
//
// What it checks, by the promise:
//
//	L1  what leases take of a cell fits into its capacity, or into what they held when it shrank
//	L2  what a tenant's leases hold fits into its quota, or into what they held when it was lowered
//	L4  fencing numbers are unique and rise; a lease's identity never changes, its generation and
//	    the time by which its cell has stopped never fall; it goes through the states of the
//	    protocol, ends once, is given up only when its cell has stopped, and is never changed after
//	    its end
//	L5  a key's outcome never changes, and is kept for a day; a lease is one request's
//	L8  a run's result never changes; it is finalised once, when all its leases have ended
//	L9  the audit chain has no gap, and every change that belongs in it is in it, once
//
// It also checks that indexes and cluster time only rise, and that each change begins where
// the one before ended: a change that was not told is a broken promise too.
package fsmcheck

import (
	"errors"
	"fmt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// Checker keeps what it needs of a state. It is not safe for concurrent use: give Next to
// fsm.Options.Applied.
type Checker struct {
	index        uint64
	tick         api.Tick
	epoch        uint64 // the newest fencing number that a lease had
	newest       uint64 // that the state has given
	clusterEpoch uint64
	level        fsm.Level
	chain        *api.AuditVerifier

	leases  map[api.LeaseID]api.Lease
	ended   int // leases that may be forgotten
	cells   map[api.CellID]*cellSum
	tenants map[api.TenantID]*tenantSum
	runs    map[api.RunID]*runSum
	keys    map[keyID]fsm.IdemRecord
	owners  map[api.LeaseID]keyID // which request a lease was granted to

	broken []error
}

type keyID struct{ scope, key string }

// New begins with a state as it is, which it trusts.
func New(v *fsm.View) *Checker {
	c := &Checker{
		index: v.Index(), tick: v.Now(), epoch: v.Epoch(), newest: v.Epoch(), clusterEpoch: v.ClusterEpoch(), level: v.Level(),
		chain:  api.NewAuditVerifier(v.AuditHead()),
		leases: map[api.LeaseID]api.Lease{}, cells: map[api.CellID]*cellSum{}, tenants: map[api.TenantID]*tenantSum{},
		runs: map[api.RunID]*runSum{}, keys: map[keyID]fsm.IdemRecord{}, owners: map[api.LeaseID]keyID{},
	}
	for _, r := range v.Cells("") {
		c.cell(r.ID).record = &r
	}
	for _, t := range v.Tenants() {
		c.tenant(t.ID).record = &t
	}
	v.ScanRuns(func(r api.Run) bool {
		c.run(r.ID).record = &r
		return true
	})
	v.ScanLeases(func(l api.Lease) bool {
		c.leases[l.ID] = l
		c.count(l, 1)
		return true
	})
	v.ScanKeys(func(k fsm.IdemRecord) bool {
		c.keys[keyID{k.Scope, k.Key}] = k
		c.own(k)
		return true
	})
	return c
}

// Next takes what one entry changed and returns every promise that it breaks. After an error
// the checker goes on with what the entry said.
func (c *Checker) Next(ch fsm.Change) error {
	c.broken = nil
	touched := touched{cells: map[api.CellID]bool{}, tenants: map[api.TenantID]bool{}, runs: map[api.RunID]bool{}}
	expected := newAudits()
	c.clock(ch)
	for _, w := range ch.Cells {
		c.cellChanged(w, touched)
	}
	for _, w := range ch.Tenants {
		c.tenantChanged(w, touched, expected)
	}
	for _, w := range ch.Leases {
		c.leaseChanged(w, touched, expected)
	}
	for _, w := range ch.Runs {
		c.runChanged(w, touched, expected)
	}
	for _, w := range ch.Keys {
		c.keyChanged(w)
	}
	for id := range touched.cells {
		c.fits(c.cell(id))
	}
	for id := range touched.tenants {
		c.withinQuota(c.tenant(id))
	}
	for id := range touched.runs {
		c.settled(id)
	}
	c.chained(ch, expected)
	return errors.Join(c.broken...)
}

// touched is what an entry changed and what is checked when all its changes are known.
type touched struct {
	cells   map[api.CellID]bool
	tenants map[api.TenantID]bool
	runs    map[api.RunID]bool
}

// want records a broken promise unless ok.
func (c *Checker) want(ok bool, promise, format string, args ...any) {
	if !ok {
		c.broken = append(c.broken, fmt.Errorf("entry %d breaks %s: %s", c.index, promise, fmt.Sprintf(format, args...)))
	}
}

// clock checks what only rises.
func (c *Checker) clock(ch fsm.Change) {
	before := c.index
	c.index = ch.Index
	c.want(ch.Index > before, "L10", "it comes behind entry %d", before)
	c.want(ch.Tick >= c.tick && ch.Tick <= c.tick+fsm.MaxStep, "L4", "cluster time goes from %d to %d", c.tick, ch.Tick)
	c.want(ch.Level >= c.level, "L10", "the feature level falls from %d to %d", c.level, ch.Level)
	c.want(ch.Epoch >= c.newest, "L4", "the newest fencing number falls from %d to %d", c.newest, ch.Epoch)
	c.want(ch.ClusterEpoch >= c.clusterEpoch, "L4", "the cluster epoch falls from %d to %d", c.clusterEpoch, ch.ClusterEpoch)
	recovered := ch.ClusterEpoch - c.clusterEpoch
	c.want(ch.Epoch-c.newest >= recovered<<32, "L4", "%d recoveries moved the fencing numbers from %d to %d only", recovered, c.newest, ch.Epoch)
	c.tick, c.level, c.newest, c.clusterEpoch = ch.Tick, ch.Level, ch.Epoch, ch.ClusterEpoch
}
