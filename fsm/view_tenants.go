package fsm

import "github.com/grafos/grafos/api"

// Tenant returns a tenant's record.
func (v *View) Tenant(id api.TenantID) (api.Tenant, bool) { return v.tenants.Get(id) }

// Tenants lists all tenants by id.
func (v *View) Tenants() []api.Tenant {
	list := make([]api.Tenant, 0, v.tenants.Len())
	v.tenants.Scan(func(_ api.TenantID, t api.Tenant) bool {
		list = append(list, t)
		return true
	})
	return list
}

// TenantUsage returns a tenant with what its non-terminal leases hold; the zero tenant with
// that usage when there is no record.
func (v *View) TenantUsage(id api.TenantID) api.TenantUsage {
	t, _ := v.tenants.Get(id)
	use := v.leases.heldBy(id)
	return api.TenantUsage{Tenant: t, Used: use.used, Leases: int64(use.open.Len())}
}

// BlobRef reports whether the tenant may name the blob.
func (v *View) BlobRef(t api.TenantID, d api.Digest) bool {
	_, ok := v.blobs.byKey.Get(joinKey(string(t), string(d)))
	return ok
}

// Referenced reports whether any tenant's reference or any run names the blob.
func (v *View) Referenced(d api.Digest) bool {
	return v.blobs.digests.Get(d) > 0 || v.runs.digests.Get(d) > 0
}

// IdemKey returns the stored outcome of an idempotency key.
func (v *View) IdemKey(scope, key string) (IdemRecord, bool) {
	r, ok := v.keys.get(scope, key, v.meta.Index)
	if !ok {
		return IdemRecord{}, false
	}
	return r.record(), true
}

// Token returns who used a token.
func (v *View) Token(jti string) (TokenRecord, bool) { return v.tokens.byID.Get(jti) }

// ScanKeys visits every idempotency key that is kept, the oldest first, until visit returns
// false.
func (v *View) ScanKeys(visit func(IdemRecord) bool) {
	v.keys.byAge.Scan(func(_ useKey, r keyRecord) bool { return visit(r.record()) })
}
