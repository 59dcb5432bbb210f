package fsm

import (
	"github.com/tidwall/btree"

	"github.com/grafos/grafos/api"
)

// sameKeys checks that two indexes hold the same keys (I3).
func sameKeys[K comparable](c *checker, name string, got, want *btree.BTreeG[K]) {
	c.want(got.Len() == want.Len(), "I3", "index %s has %d keys, the records make %d", name, got.Len(), want.Len())
	want.Scan(func(k K) bool {
		_, ok := got.Get(k)
		c.want(ok, "I3", "index %s lacks %v", name, k)
		return true
	})
}

// sameSums checks that two tables of sums are equal (I3).
func sameSums[K ~string, V comparable](c *checker, name string, got, want *btree.Map[K, V]) {
	c.want(got.Len() == want.Len(), "I3", "sum %s has %d keys, the records make %d", name, got.Len(), want.Len())
	want.Scan(func(k K, v V) bool {
		has, _ := got.Get(k)
		c.want(has == v, "I3", "sum %s of %s is %v, the records make %v", name, k, has, v)
		return true
	})
}

func (c *checker) leaseIndexes() {
	got, want := c.v.leases, newLeaseTable()
	c.eachLease(func(l api.Lease) { want.set(l, api.Lease{}, false) })
	sameKeys(c, "lease by cell", got.onCell, want.onCell)
	sameKeys(c, "lease by change", got.changed, want.changed)
	sameKeys(c, "lease by tenant", got.tenant, want.tenant)
	sameKeys(c, "lease by run", got.run, want.run)
	sameKeys(c, "lease by due tick", got.due, want.due)
	sameKeys(c, "lease by end", got.ended, want.ended)
	sameSums(c, "use of cells", got.cells, want.cells)
	sameSums(c, "use of tenants", got.tenants, want.tenants)
	c.want(got.live == want.live, "I3", "%d live leases are counted, %d are there", got.live, want.live)
}

func (c *checker) runIndexes() {
	got, want := c.v.runs, newRunTable()
	c.eachRun(func(r api.Run) { want.set(r, api.Run{}, false) })
	sameKeys(c, "run by cell", got.onCell, want.onCell)
	sameKeys(c, "run by change", got.changed, want.changed)
	sameKeys(c, "run by tenant", got.tenant, want.tenant)
	sameKeys(c, "run that waits", got.waiting, want.waiting)
	sameKeys(c, "run by end", got.ended, want.ended)
	sameSums(c, "blobs of runs", got.digests, want.digests)
	c.want(got.live == want.live, "I3", "%d live runs are counted, %d are there", got.live, want.live)
}

func (c *checker) otherIndexes() {
	blobs := newBlobTable()
	c.v.blobs.byKey.Scan(func(_ string, r BlobRef) bool {
		blobs.set(r, BlobRef{}, false)
		return true
	})
	sameKeys(c, "blob by age", c.v.blobs.age, blobs.age)
	sameSums(c, "references of blobs", c.v.blobs.digests, blobs.digests)
	keys := newKeyTable()
	c.v.keys.byKey.Scan(func(_ string, r IdemRecord) bool {
		keys.set(r)
		return true
	})
	sameKeys(c, "key by age", c.v.keys.age, keys.age)
	tokens := newTokenTable()
	c.v.tokens.byID.Scan(func(_ string, r TokenRecord) bool {
		tokens.set(r)
		return true
	})
	sameKeys(c, "token by age", c.v.tokens.age, tokens.age)
}
