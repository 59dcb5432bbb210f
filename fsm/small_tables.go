package fsm

import (
	"github.com/tidwall/btree"

	"github.com/grafos/grafos/api"
)

// blobTable is which tenant may name which blob.
type blobTable struct {
	byKey   records[string, BlobRef]
	age     *btree.BTreeG[ageKey] // I3: by the tick of the last use
	digests *btree.Map[api.Digest, int]
}

// BlobRef is a tenant's reference to a blob that is on a quorum of disks.
type BlobRef struct {
	Tenant   api.TenantID `json:"tenant"`
	Digest   api.Digest   `json:"digest"`
	Size     int64        `json:"size"`
	At       api.Tick     `json:"at_tick"` // last use
	Modified uint64       `json:"modified_index"`
}

func (r BlobRef) key() string { return joinKey(string(r.Tenant), string(r.Digest)) }

// joinKey makes one key of two texts that hold no NUL.
func joinKey(a, b string) string { return a + "\x00" + b }

func newBlobTable() blobTable {
	return blobTable{
		byKey: newRecords[string, BlobRef](),
		age:   newIndex[ageKey](), digests: btree.NewMap[api.Digest, int](0),
	}
}

func (t *blobTable) copy() blobTable {
	return blobTable{byKey: t.byKey.Copy(), age: t.age.Copy(), digests: t.digests.Copy()}
}

func (t *blobTable) set(r, old BlobRef, had bool) {
	t.byKey.Set(r.key(), r)
	move(t.age, ageKey{int64(old.At), r.key()}, had, ageKey{int64(r.At), r.key()}, true)
	if !had {
		n, _ := t.digests.Get(r.Digest)
		t.digests.Set(r.Digest, n+1)
	}
}

func (t *blobTable) drop(r BlobRef) {
	t.byKey.Delete(r.key())
	t.age.Delete(ageKey{int64(r.At), r.key()})
	n, _ := t.digests.Get(r.Digest)
	keep(t.digests, r.Digest, n-1, n == 1)
}

// keyTable is the idempotency keys and what became of them.
type keyTable struct {
	byKey records[string, IdemRecord]
	age   *btree.BTreeG[ageKey] // I3
}

// IdemRecord is the stored outcome of a command with an idempotency key.
type IdemRecord struct {
	Scope  string        `json:"scope"`
	Key    string        `json:"key"`
	Hash   string        `json:"hash"`
	Kind   Kind          `json:"kind"`
	Leases []api.LeaseID `json:"leases,omitempty"`
	Run    api.RunID     `json:"run_id,omitempty"`
	Index  uint64        `json:"index"`
	At     api.Tick      `json:"at_tick"`
}

func (r IdemRecord) key() string { return joinKey(r.Scope, r.Key) }

func newKeyTable() keyTable {
	return keyTable{byKey: newRecords[string, IdemRecord](), age: newIndex[ageKey]()}
}

func (t *keyTable) copy() keyTable { return keyTable{byKey: t.byKey.Copy(), age: t.age.Copy()} }

func (t *keyTable) set(r IdemRecord) {
	t.byKey.Set(r.key(), r)
	t.age.Set(ageKey{int64(r.At), r.key()})
}

func (t *keyTable) drop(r IdemRecord) {
	t.byKey.Delete(r.key())
	t.age.Delete(ageKey{int64(r.At), r.key()})
}

// tokenTable is the tokens of limited use that were used.
type tokenTable struct {
	byID records[string, TokenRecord]
	age  *btree.BTreeG[ageKey] // I3: by KeepTill
}

// TokenRecord says who used a token of limited use.
type TokenRecord struct {
	JTI     string   `json:"jti"`
	Purpose string   `json:"purpose"`
	SPKIs   []string `json:"spkis"` // of each use, in order
	Uses    int      `json:"uses"`  // how many are allowed
	Expires int64    `json:"expires"`
	// KeepTill is the cluster time at which the record may be forgotten: a day after the
	// token's expiry as it was seen at its first use. Wall clocks decide nothing here.
	KeepTill api.Tick `json:"keep_till_tick"`
	Modified uint64   `json:"modified_index"`
}

func newTokenTable() tokenTable {
	return tokenTable{byID: newRecords[string, TokenRecord](), age: newIndex[ageKey]()}
}

func (t *tokenTable) copy() tokenTable { return tokenTable{byID: t.byID.Copy(), age: t.age.Copy()} }

func (t *tokenTable) set(r TokenRecord) {
	t.byID.Set(r.JTI, r)
	t.age.Set(ageKey{int64(r.KeepTill), r.JTI}) // KeepTill never changes
}

func (t *tokenTable) drop(r TokenRecord) {
	t.byID.Delete(r.JTI)
	t.age.Delete(ageKey{int64(r.KeepTill), r.JTI})
}
