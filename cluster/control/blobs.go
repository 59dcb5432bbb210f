package control

import (
	"context"
	"io"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// operatorSpace is where an operator's blobs are referenced: it may use them for any tenant.
const operatorSpace api.TenantID = ""

// PutBlob stores bytes on a quorum of schedulers, then commits that the caller put them.
func (c *Control) PutBlob(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if err := checkBlob(d, size); err != nil {
		return err
	}
	body := possessed(d, size, r)
	if err := c.cfg.Blobs.Put(ctx, d, size, body); err != nil {
		return err
	}
	caller := api.CallerFrom(ctx)
	if caller.Role == api.RoleCell {
		return nil // what a cell puts is referenced by the run that it reports
	}
	if c.cfg.Machine.View().BlobRef(caller.Tenant(), d) {
		return nil
	}
	if err := body.prove(); err != nil { // the blob was there already
		return err
	}
	return c.refer(ctx, caller.Tenant(), d, size)
}

func checkBlob(d api.Digest, size int64) error {
	if err := api.CheckDigest(d); err != nil {
		return err
	}
	if size < 0 || size > api.MaxModuleBytes {
		return api.Refuse(api.TooLarge, "the blob has %d bytes: at most %d", size, int64(api.MaxModuleBytes))
	}
	return nil
}

// refer commits the reference here or, on a follower, through the leader.
func (c *Control) refer(ctx context.Context, t api.TenantID, d api.Digest, size int64) error {
	if c.cfg.Machine.View().BlobRef(t, d) {
		return nil
	}
	return c.viaLeader(ctx, func(ctx context.Context, p api.Peers) error { return p.ReferBlob(ctx, t, d, size) })
}

// ReferBlob commits that a tenant put a blob; leader only.
func (c *Control) ReferBlob(ctx context.Context, t api.TenantID, d api.Digest, size int64) error {
	_, err := c.cfg.Decider.Submit(ctx, fsm.ReferBlob{Tenant: t, Digest: d, Size: size})
	return err
}

// GetBlob opens a blob that the caller put or that a run of it names.
func (c *Control) GetBlob(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if err := api.CheckDigest(d); err != nil {
		return nil, 0, err
	}
	may, err := c.mayRead(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	if !may {
		return nil, 0, noBlob(d)
	}
	return c.cfg.Blobs.Get(ctx, d)
}

// HasBlob reports whether a quorum has the blob, as far as the caller may know.
func (c *Control) HasBlob(ctx context.Context, d api.Digest) (bool, error) {
	if err := api.CheckDigest(d); err != nil {
		return false, err
	}
	may, err := c.mayRead(ctx, d)
	if err != nil || !may {
		return false, err
	}
	return c.cfg.Blobs.Has(ctx, d)
}

func noBlob(d api.Digest) *api.Error { return api.Refuse(api.NotFound, "blob %s does not exist", d) }

// mayRead: a tenant only what it put itself; its artifacts come by the run's name. An
// operator asks for a reference too, so that it puts again what is about to be swept.
func (c *Control) mayRead(ctx context.Context, d api.Digest) (bool, error) {
	caller := api.CallerFrom(ctx)
	switch caller.Role {
	case api.RoleTenant:
		return c.referred(ctx, caller.Tenant(), d)
	case api.RoleOperator:
		return c.referred(ctx, operatorSpace, d)
	case api.RoleCell, api.RoleScheduler:
		return true, nil
	case api.RoleViewer:
	}
	return false, nil
}

// referred reports whether a tenant put a blob. A reference that is not here yet may have been
// committed through another scheduler a moment ago.
func (c *Control) referred(ctx context.Context, t api.TenantID, d api.Digest) (bool, error) {
	if c.cfg.Machine.View().BlobRef(t, d) {
		return true, nil
	}
	v, err := c.cfg.Cluster.Read(ctx)
	if err != nil {
		return false, err
	}
	return v.BlobRef(t, d), nil
}

// PutReplica stores one copy here.
func (c *Control) PutReplica(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if err := checkBlob(d, size); err != nil {
		return err
	}
	return c.cfg.Blobs.PutLocal(ctx, d, size, r)
}

// GetReplica opens the copy that is here.
func (c *Control) GetReplica(_ context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if err := api.CheckDigest(d); err != nil {
		return nil, 0, err
	}
	return c.cfg.Blobs.GetLocal(d)
}
