package fsm

import (
	"encoding/hex"
	"fmt"

	"github.com/grafos/grafos/api"
)

// Check recomputes every invariant of the package comment the slow, obvious way and returns
// each one that does not hold. Tests call it after every entry; a node may at any time.
func Check(v *View) []error {
	c := checker{v: v}
	c.leases()
	c.capacity()
	c.quotas()
	c.runs()
	c.head()
	c.keys()
	c.leaseIndexes()
	c.runIndexes()
	c.otherIndexes()
	return c.broken
}

// checker collects what is broken.
type checker struct {
	v      *View
	broken []error
}

// want records a broken invariant unless ok.
func (c *checker) want(ok bool, invariant, format string, args ...any) {
	if !ok {
		c.broken = append(c.broken, fmt.Errorf("%s: %s", invariant, fmt.Sprintf(format, args...)))
	}
}

func (c *checker) eachLease(do func(api.Lease)) {
	c.v.leases.byEpoch.Scan(func(epoch serial, r leaseRecord) bool {
		l, ok := r.read()
		c.want(ok && serial(l.Epoch) == epoch && string(appendLease(nil, &l)) == string(r), "I4", "the record of epoch %d is none, or of epoch %d", epoch, l.Epoch)
		do(l)
		return true
	})
}

func (c *checker) eachRun(do func(api.Run)) {
	c.v.runs.byID.Scan(func(_ api.RunID, r api.Run) bool {
		do(r)
		return true
	})
}

// leases checks each lease alone: I4, I5, I10.
func (c *checker) leases() {
	epochs := map[uint64]api.LeaseID{}
	c.eachLease(func(l api.Lease) {
		other, taken := epochs[l.Epoch]
		c.want(!taken, "I4", "leases %s and %s have the same epoch %d", other, l.ID, l.Epoch)
		epochs[l.Epoch] = l.ID
		c.want(l.Epoch >= 1 && l.Epoch <= c.v.meta.Epoch, "I4", "lease %s has epoch %d, the newest is %d", l.ID, l.Epoch, c.v.meta.Epoch)
		c.want(l.BoundGeneration <= l.Generation, "I4", "lease %s is bound in generation %d of %d", l.ID, l.BoundGeneration, l.Generation)

		at, isDue := due(&l)
		c.want(isDue == !l.State.Terminal(), "I5", "lease %s is %s and due: %v", l.ID, l.State, isDue)
		c.want(!isDue || at <= l.StoppedBy(), "I5", "lease %s is due at %d, after it must have stopped at %d", l.ID, at, l.StoppedBy())
		c.want(l.State.Terminal() == !l.EndedAt.IsZero(), "I5", "lease %s is %s and ended at %s", l.ID, l.State, l.EndedAt)
		c.want(l.Ended <= c.v.Now() && l.Granted <= c.v.Now(), "I5", "lease %s was granted or ended in the future", l.ID)
		announced := l.State == api.LeaseRevokeWarning || l.State == api.LeaseGraceRunning || l.State == api.LeaseCheckpoint
		c.want(!announced || l.ForceAt > 0, "I5", "lease %s is %s and never forced", l.ID, l.State)

		cell, ok := c.v.Cell(l.CellID)
		c.want(ok && cell.Provider == l.Provider, "I10", "lease %s is on cell %s, which provider %s has not", l.ID, l.CellID, l.Provider)
		if !l.State.Terminal() {
			_, ok := c.v.Tenant(l.Tenant)
			c.want(ok, "I10", "lease %s is of tenant %s, which does not exist", l.ID, l.Tenant)
		}
	})
}

// capacity checks I1.
func (c *checker) capacity() {
	tallies, used := map[api.CellID]*tally{}, map[api.CellID]api.Resources{}
	c.eachLease(func(l api.Lease) {
		if !l.Occupies() {
			return
		}
		if tallies[l.CellID] == nil {
			tallies[l.CellID] = new(tally)
		}
		tallies[l.CellID].add(l)
	})
	for id, t := range tallies {
		used[id] = t.all()
		c.sharing(id, t)
	}
	c.v.EachCell("", func(cell *api.CellRecord) {
		for _, k := range api.LeaseKinds() {
			limit := max(cell.Capacity.Get(k), cell.Held.Get(k))
			c.want(used[cell.ID].Get(k) <= limit, "I1", "cell %s has leases for %d %s of %s, its capacity is %d and it held %d",
				cell.ID, used[cell.ID].Get(k), k.Unit(), k, cell.Capacity.Get(k), cell.Held.Get(k))
		}
		c.want(c.v.Used(cell.ID) == used[cell.ID], "I3", "cell %s is said to use %v and uses %v", cell.ID, c.v.Used(cell.ID), used[cell.ID])
		_, ok := c.v.Provider(cell.Provider)
		c.want(ok, "I10", "cell %s is of provider %s, which does not exist", cell.ID, cell.Provider)
	})
}

// quotas checks I2.
func (c *checker) quotas() {
	used, live := map[api.TenantID]api.Resources{}, map[api.TenantID]int64{}
	c.eachLease(func(l api.Lease) {
		if !l.State.Terminal() {
			used[l.Tenant] = used[l.Tenant].Add(api.Resources{}.With(l.Kind, l.Amount))
			live[l.Tenant]++
		}
	})
	for _, t := range c.v.Tenants() {
		for _, k := range api.LeaseKinds() {
			n, limit := used[t.ID].Get(k), t.Quota.Limit(k)
			c.want(limit == api.Unlimited || n <= max(limit, t.Held.Limit(k)), "I2", "tenant %s holds %d of %s, its quota is %d", t.ID, n, k, limit)
		}
		n, limit := live[t.ID], t.Quota.Leases
		c.want(limit == api.Unlimited || n <= max(limit, t.Held.Leases), "I2", "tenant %s holds %d leases, its quota is %d", t.ID, n, limit)
		usage := c.v.TenantUsage(t.ID)
		c.want(usage.Used == used[t.ID] && usage.Leases == n, "I3", "tenant %s is said to hold %v in %d leases, and holds %v in %d",
			t.ID, usage.Used, usage.Leases, used[t.ID], n)
	}
}

// runs checks I6, I7 and that leases and runs know each other.
func (c *checker) runs() {
	ofRun := map[api.RunID][]api.Lease{}
	c.eachLease(func(l api.Lease) {
		if l.RunID == "" {
			return
		}
		ofRun[l.RunID] = append(ofRun[l.RunID], l)
		if _, ok := c.v.Run(l.RunID); !ok {
			c.want(l.State.Terminal(), "I7", "lease %s is %s, its run %s does not exist", l.ID, l.State, l.RunID)
		}
	})
	c.eachRun(func(r api.Run) {
		live := 0
		listed := map[api.LeaseID]bool{}
		for _, id := range r.LeaseIDs {
			listed[id] = true
		}
		for _, l := range ofRun[r.ID] {
			if !l.State.Terminal() {
				live++
				c.want(listed[l.ID] && l.CellID == r.CellID, "I7", "lease %s is %s on cell %s and not of the attempt of run %s on cell %s", l.ID, l.State, l.CellID, r.ID, r.CellID)
			}
		}
		terminal := r.State.Terminal()
		c.want(terminal == !r.FinishedAt.IsZero(), "I6", "run %s is %s and finished at %s", r.ID, r.State, r.FinishedAt)
		c.want(r.Finalised == (terminal && live == 0), "I6", "run %s is %s with %d live leases, and finalised: %v", r.ID, r.State, live, r.Finalised)
		c.want(r.Finalised == !r.FinalisedAt.IsZero(), "I6", "run %s is finalised %v, at %s", r.ID, r.Finalised, r.FinalisedAt)
		switch r.State {
		case api.RunPlaced, api.RunRunning:
			c.want(live > 0 && r.CellID != "" && r.Attempt >= 1, "I7", "run %s is %s on cell %q with %d live leases", r.ID, r.State, r.CellID, live)
		case api.RunAdmitted:
			c.want(live == 0 && r.CellID == "" && len(r.LeaseIDs) == 0 && r.Attempt <= r.Retries, "I7", "run %s waits to be placed, on cell %q with %d leases", r.ID, r.CellID, len(r.LeaseIDs))
		case api.RunSucceeded, api.RunFailed, api.RunExpired, api.RunRevoked, api.RunLost:
		}
		if !terminal {
			_, ok := c.v.Tenant(r.Tenant)
			c.want(ok, "I10", "run %s is of tenant %s, which does not exist", r.ID, r.Tenant)
		}
	})
}

// head checks I8.
func (c *checker) head() {
	h := c.v.AuditHead()
	sum, err := hex.DecodeString(h.Hash)
	c.want(err == nil && len(sum) == 32, "I8", "the audit head %d has hash %q", h.Sequence, h.Hash)
	c.want((h.Sequence == 0) == (h.Hash == api.AuditGenesis), "I8", "the audit head %d has hash %q", h.Sequence, h.Hash)
}

// keys checks I9.
func (c *checker) keys() {
	keys := &c.v.keys
	keys.byAge.Scan(func(at useKey, rec keyRecord) bool {
		r, ok := rec.read()
		c.want(ok && r.used() == at && string(appendKey(nil, &r)) == string(rec), "I9", "the key that was used at %v has no record, or one of %v", at, r.used())
		c.want(r.Index >= 1 && r.Index <= c.v.Index() && r.At <= c.v.Now(), "I9", "key %q has its outcome at index %d of %d", r.Key, r.Index, c.v.Index())
		c.want(r.Kind.make() != nil, "I9", "key %q is of kind %d", r.Key, r.Kind)
		byKey, ok := keys.get(r.Scope, r.Key, c.v.meta.Index)
		c.want(ok && byKey == rec, "I3", "key %q is not found", r.Key)
		return true
	})
}
