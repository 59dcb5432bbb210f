package fsm

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// sameKeys checks that two indexes hold the same keys (I3).
func sameKeys[K lesser[K]](c *checker, name string, got, want *set[K]) {
	c.want(got.Len() == want.Len(), "I3", "index %s has %d keys, the records make %d", name, got.Len(), want.Len())
	want.Scan(func(k K, _ struct{}) bool {
		_, ok := got.Get(k)
		c.want(ok, "I3", "index %s lacks %v", name, k)
		return true
	})
}

// sameMembers is sameKeys for leases.
func sameMembers[K member[K]](c *checker, name string, got, want *bitset[K]) {
	c.want(got.Len() == want.Len(), "I3", "index %s has %d keys, the records make %d", name, got.Len(), want.Len())
	want.Scan(func(k K) bool {
		c.want(got.Has(k), "I3", "index %s lacks %v", name, k)
		return true
	})
}

// sameSums checks that two tables of sums are equal (I3).
func sameSums[K ~string](c *checker, name string, got, want *sums[K]) {
	c.want(got.tree.Len() == want.tree.Len(), "I3", "sum %s has %d keys, the records make %d", name, got.tree.Len(), want.tree.Len())
	want.tree.Scan(func(k text, n int) bool {
		c.want(got.Get(K(k)) == n, "I3", "sum %s of %s is %d, the records make %d", name, k, got.Get(K(k)), n)
		return true
	})
}

// rebuilt is the edit in which Check makes tables of its own.
const rebuilt = cow.Edit(1)

func (c *checker) leaseIndexes() {
	got, want := &c.v.leases, newLeaseTable()
	cells, tenants := map[api.CellID]bool{}, map[api.TenantID]bool{}
	c.eachLease(func(l api.Lease) {
		r, _ := got.byEpoch.Get(serial(l.Epoch))
		want.set(rebuilt, &l, r, standing{})
		cells[l.CellID], tenants[l.Tenant] = true, true
		byID, ok := got.get(l.ID, c.v.meta.Index)
		c.want(ok && byID == r, "I3", "lease %s is not found by its id", l.ID)
	})
	sameMembers(c, "lease to be bound", &got.unbound, &want.unbound)
	sameMembers(c, "lease by due tick", &got.due, &want.due)
	sameMembers(c, "lease by end", &got.ended, &want.ended)
	sameKeys(c, "lease by run", &got.run, &want.run)
	c.want(got.cells.Len() == len(cells), "I3", "%d cells have leases, %d are counted", len(cells), got.cells.Len())
	for id := range cells {
		g, w := got.useOf(id), want.useOf(id)
		c.want(g.used == w.used && g.fenced == w.fenced && g.live == w.live, "I3", "the use of cell %s is %v, fenced %v, of %d leases; the records make %v, %v, %d",
			id, g.used, g.fenced, g.live, w.used, w.fenced, w.live)
		sameMembers(c, "lease that holds cell "+string(id), &g.held, &w.held)
		sameMembers(c, "lease that held cell "+string(id), &g.past, &w.past)
		c.leaseLog(id, &g)
	}
	c.want(got.tenants.Len() == len(tenants), "I3", "%d tenants have leases, %d are counted", len(tenants), got.tenants.Len())
	for id := range tenants {
		g, w := got.heldBy(id), want.heldBy(id)
		c.want(g.used == w.used, "I3", "tenant %s holds %v, the records make %v", id, g.used, w.used)
		sameMembers(c, "lease of tenant "+string(id), &g.open, &w.open)
		sameMembers(c, "past lease of tenant "+string(id), &g.past, &w.past)
	}
	c.want(got.live == want.live, "I3", "%d live leases are counted, %d are there", got.live, want.live)
}

// leaseLog checks that the changes of a cell's leases are found, as far back as its log goes.
func (c *checker) leaseLog(id api.CellID, use *cellUse) {
	for _, after := range []uint64{0, use.log.floor, c.v.meta.Index - min(c.v.meta.Index, 8)} {
		changed := 0
		for _, in := range []*bitset[serial]{&use.held, &use.past} {
			in.Scan(func(epoch serial) bool {
				if c.v.lease(epoch).Modified > after {
					changed++
				}
				return true
			})
		}
		list := c.v.LeasesChangedOn(id, after)
		ok := len(list) == changed
		for i, l := range list {
			ok = ok && l.CellID == id && l.Modified > after && (i == 0 || list[i-1].Modified <= l.Modified)
		}
		c.want(ok, "I3", "of cell %s %d leases changed after %d, %d are found", id, changed, after, len(list))
	}
}

func (c *checker) runIndexes() {
	got, want := &c.v.runs, runTable{}
	c.eachRun(func(r api.Run) { want.set(rebuilt, r, api.Run{}, false) })
	sameKeys(c, "run by cell", &got.onCell, &want.onCell)
	sameKeys(c, "run by change", &got.changed, &want.changed)
	sameKeys(c, "run by tenant", &got.tenant, &want.tenant)
	sameKeys(c, "run that waits", &got.waiting, &want.waiting)
	sameKeys(c, "run by end", &got.ended, &want.ended)
	sameSums(c, "blobs of runs", &got.digests, &want.digests)
	c.want(got.live == want.live, "I3", "%d live runs are counted, %d are there", got.live, want.live)
}

func (c *checker) otherIndexes() {
	var cells rest
	c.v.cells.Scan(func(_ api.CellID, r api.CellRecord) bool {
		cells.keepCell(rebuilt, r)
		return true
	})
	sameKeys(c, "key of a revoked cell", &c.v.barred, &cells.barred)
	var blobs blobTable
	c.v.blobs.byKey.Scan(func(_ string, r BlobRef) bool {
		blobs.set(rebuilt, r, BlobRef{}, false)
		return true
	})
	sameKeys(c, "blob by age", &c.v.blobs.age, &blobs.age)
	sameSums(c, "references of blobs", &c.v.blobs.digests, &blobs.digests)
	var tokens tokenTable
	c.v.tokens.byID.Scan(func(_ string, r TokenRecord) bool {
		tokens.set(rebuilt, r)
		return true
	})
	sameKeys(c, "token by age", &c.v.tokens.age, &tokens.age)
}
