package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// ReferBlob lets a tenant name a blob that a quorum of schedulers has on disk. An empty
// tenant is the operators, who act for any of them.
type ReferBlob struct {
	Tenant api.TenantID `json:"tenant"`
	Digest api.Digest   `json:"digest"`
	Size   int64        `json:"size"`
}

// referAgain is how old a reference must be for a new use to be worth an entry's change.
const referAgain = api.Tick(time.Hour)

// Kind returns KindReferBlob.
func (ReferBlob) Kind() Kind { return KindReferBlob }

// apply refuses an unknown tenant with not_found and another size of the same blob with
// conflict. A use shortly after the last changes nothing.
func (c ReferBlob) apply(s *State) (Result, *api.Error) {
	if p := api.Problem(api.CheckDigest(c.Digest)); p != nil {
		return Result{}, p
	}
	if c.Size < 0 || c.Size > api.MaxAmount {
		return Result{}, api.Refuse(api.InvalidArgument, "size is %d bytes: it must be from 0 to %d", c.Size, int64(api.MaxAmount))
	}
	if _, ok := s.Tenant(c.Tenant); !ok && c.Tenant != "" {
		return Result{}, api.Refuse(api.NotFound, "tenant %s does not exist", c.Tenant)
	}
	ref := BlobRef{Tenant: c.Tenant, Digest: c.Digest, Size: c.Size, At: s.meta.Now}
	old, ok := s.blobs.byKey.Get(ref.key())
	if ok && old.Size != c.Size {
		return Result{}, api.Refuse(api.Conflict, "blob %s has %d bytes, not %d", c.Digest, old.Size, c.Size)
	}
	if ok && s.meta.Now < old.At+referAgain {
		return Result{}, nil
	}
	s.putBlob(ref)
	return Result{}, nil
}
