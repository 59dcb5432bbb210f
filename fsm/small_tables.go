package fsm

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// blobTable is which tenant may name which blob.
type blobTable struct {
	byKey   records[string, BlobRef]
	age     set[ageKey] // I3: by the tick of the last use
	digests sums[api.Digest]
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

func (t *blobTable) set(e cow.Edit, r, old BlobRef, had bool) {
	t.byKey.Set(e, r.key(), r)
	move(e, &t.age, ageKey{int64(old.At), r.key()}, had, ageKey{int64(r.At), r.key()}, true)
	if !had {
		t.digests.add(e, r.Digest, 1)
	}
}

func (t *blobTable) drop(e cow.Edit, r BlobRef) {
	t.byKey.Delete(e, r.key())
	t.age.Delete(e, ageKey{int64(r.At), r.key()})
	t.digests.add(e, r.Digest, -1)
}

// tokenTable is the tokens of limited use that were used.
type tokenTable struct {
	byID records[string, TokenRecord]
	age  set[ageKey] // I3: by KeepTill
}

// TokenRecord says who used a token of limited use.
type TokenRecord struct {
	JTI     string   `json:"jti"`
	Purpose string   `json:"purpose"`
	SPKIs   []string `json:"spkis"` // of each use, in order
	Uses    int      `json:"uses"`  // how many are allowed
	// UsedAt are the times of the uses, Unix seconds, for the certificates that came of them.
	UsedAt  []int64 `json:"used_at,omitempty"`
	Expires int64   `json:"expires"`
	// Provider, Cell and Evidence are of what clouds proved.
	Provider api.ProviderID `json:"provider,omitempty"`
	Cell     api.CellID     `json:"cell_id,omitempty"`
	Evidence api.Evidence   `json:"evidence,omitzero"`
	// KeepTill is the cluster time at which the record may be forgotten: a day after the
	// token's expiry as it was seen at its first use. Wall clocks decide nothing here.
	KeepTill api.Tick `json:"keep_till_tick"`
	Modified uint64   `json:"modified_index"`
}

func (t *tokenTable) set(e cow.Edit, r TokenRecord) {
	t.byID.Set(e, r.JTI, r)
	t.age.Set(e, ageKey{int64(r.KeepTill), r.JTI}, struct{}{}) // KeepTill never changes
}

func (t *tokenTable) drop(e cow.Edit, r TokenRecord) {
	t.byID.Delete(e, r.JTI)
	t.age.Delete(e, ageKey{int64(r.KeepTill), r.JTI})
}
