package api

import (
	"context"
	"time"
)

// Role is what an identity may do; it stands in the certificate.
type Role string

// The roles.
const (
	RoleOperator  Role = "operator"
	RoleTenant    Role = "tenant"
	RoleViewer    Role = "viewer"
	RoleCell      Role = "cell"
	RoleScheduler Role = "scheduler"
)

// Caller is who asks, as its certificate or bearer token proved.
type Caller struct {
	Role     Role
	Name     string     // of an operator, tenant, viewer or scheduler
	Provider ProviderID // of a cell
	Cell     CellID     // of a cell
	// SPKI is the hex SHA-256 of the caller's public key where it came with a certificate.
	SPKI string
	// Serial and NotAfter are those of the caller's certificate.
	Serial   string
	NotAfter time.Time
}

// Actor names the caller in the audit chain: "tenant/acme", "cell/aws/aws-1".
func (c Caller) Actor() string {
	if c.Role == RoleCell {
		return "cell/" + string(c.Provider) + "/" + string(c.Cell)
	}
	if c.Role == "" {
		return "anonymous"
	}
	return string(c.Role) + "/" + c.Name
}

// Tenant returns the tenant that the caller is, or "".
func (c Caller) Tenant() TenantID {
	if c.Role == RoleTenant {
		return TenantID(c.Name)
	}
	return ""
}

type callerKey struct{}

// WithCaller returns ctx carrying who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns who asks; the zero Caller when nobody was proved.
func CallerFrom(ctx context.Context) Caller {
	c, ok := ctx.Value(callerKey{}).(Caller)
	if !ok {
		return Caller{}
	}
	return c
}
