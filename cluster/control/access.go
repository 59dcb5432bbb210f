package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/quick"
	"github.com/grafos/grafos/fsm"
)

// actFor returns the tenant that a write is for: a tenant acts for itself only, an
// operator for whom it names.
func actFor(ctx context.Context, asked api.TenantID) (api.TenantID, error) {
	c := api.CallerFrom(ctx)
	if own := c.Tenant(); own != "" {
		if asked != "" && asked != own {
			return "", api.Refuse(api.Forbidden, "tenant %s cannot act for tenant %s", own, asked)
		}
		return own, nil
	}
	if c.Role != api.RoleOperator {
		return "", api.Refuse(api.Forbidden, "%s cannot act for a tenant", c.Actor())
	}
	if asked == "" {
		return "", api.Refuse(api.InvalidArgument, "the request names no tenant").
			WithHint("an operator says for which tenant it acts: --tenant NAME")
	}
	if err := api.CheckName("tenant", string(asked)); err != nil {
		return "", err
	}
	return asked, nil
}

// planFor is actFor for what changes nothing: a viewer may ask for any tenant.
func planFor(ctx context.Context, asked api.TenantID) (api.TenantID, error) {
	if api.CallerFrom(ctx).Role == api.RoleViewer && asked != "" {
		return asked, api.CheckName("tenant", string(asked))
	}
	return actFor(ctx, asked)
}

// sees reports whether the caller may see what belongs to a tenant. What it may not see
// does not exist for it.
func sees(ctx context.Context, owner api.TenantID) bool {
	c := api.CallerFrom(ctx)
	switch c.Role {
	case api.RoleOperator, api.RoleViewer:
		return true
	case api.RoleTenant:
		return c.Tenant() == owner
	case api.RoleCell, api.RoleScheduler:
	}
	return false
}

// narrow returns the tenant filter that the caller gets: its own, whatever it asked for.
func narrow(ctx context.Context, asked api.TenantID) (api.TenantID, error) {
	c := api.CallerFrom(ctx)
	own := c.Tenant()
	switch {
	case own != "" && asked != "" && asked != own:
		return "", api.Refuse(api.Forbidden, "tenant %s cannot see tenant %s", own, asked)
	case own != "":
		return own, nil
	case !sees(ctx, asked):
		return "", api.Refuse(api.Forbidden, "%s cannot see what tenants hold", c.Actor())
	}
	return asked, nil
}

// idem makes the idempotency of a write: the key belongs to its scope, the hash tells
// another request under the same key.
func idem(scope string, o api.WriteOptions, op string, request any) (fsm.Idem, error) {
	if len(o.IdempotencyKey) > api.MaxKeyLen { // a batch's item may have any other
		return fsm.Idem{}, api.CheckKey(o.IdempotencyKey)
	}
	if o.IdempotencyKey == "" {
		return fsm.Idem{}, nil
	}
	b, ok := quick.Append(append(make([]byte, 0, 256), op+"\n"...), request)
	if !ok {
		doc, err := json.Marshal(request)
		if err != nil {
			return fsm.Idem{}, api.Refuse(api.Internal, "hash request: %v", err)
		}
		b = append(b, doc...)
	}
	sum := sha256.Sum256(b)
	return fsm.Idem{Scope: scope, Key: o.IdempotencyKey, Hash: hex.EncodeToString(sum[:16])}, nil
}

// actor is who asks, for the audit chain.
func actor(ctx context.Context) string { return api.CallerFrom(ctx).Actor() }

func tenantScope(t api.TenantID) string { return "tenant/" + string(t) }
