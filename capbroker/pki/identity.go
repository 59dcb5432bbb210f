package pki

import (
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/grafos/grafos/api"
)

// maxURI bounds an identity's URI in bytes: scheme, cluster id, role and two names.
const maxURI = 256

// Identity is who somebody is, in one cluster.
type Identity struct {
	ClusterID string
	Role      api.Role
	Name      string         // of a scheduler, operator, tenant or viewer
	Provider  api.ProviderID // of a cell
	Cell      api.CellID     // of a cell
}

// String returns the identity's URI.
func (i Identity) String() string {
	return "spiffe://" + i.ClusterID + i.path()
}

// path returns the URI's path: "/tenant/acme", "/cell/aws/aws-1".
func (i Identity) path() string {
	if i.Role == api.RoleCell {
		return "/" + string(i.Role) + "/" + string(i.Provider) + "/" + string(i.Cell)
	}
	return "/" + string(i.Role) + "/" + i.Name
}

// Check refuses an identity that has no URI: a part that is no name, a role that does not
// exist, a cell with a name or somebody else with a provider. The kind is invalid_argument.
func (i Identity) Check() error {
	if err := checkClusterID(i.ClusterID); err != nil {
		return err
	}
	if err := checkRole(i.Role); err != nil {
		return err
	}
	if i.Role != api.RoleCell {
		if i.Provider != "" || i.Cell != "" {
			return api.Refuse(api.InvalidArgument, "an identity of role %s has no provider and no cell", i.Role)
		}
		return api.CheckName(string(i.Role)+" name", i.Name)
	}
	if i.Name != "" {
		return api.Refuse(api.InvalidArgument, "a cell is named by its provider and its cell id; it has no other name")
	}
	if err := api.CheckName("provider", string(i.Provider)); err != nil {
		return err
	}
	return api.CheckName("cell id", string(i.Cell))
}

// ParseIdentity reads an identity's URI. It takes exactly what String gives and refuses
// everything else with invalid_argument.
func ParseIdentity(uri string) (Identity, error) {
	if len(uri) > maxURI {
		return Identity{}, api.Refuse(api.InvalidArgument, "identity is %d bytes long: at most %d", len(uri), maxURI)
	}
	id, err := spiffeid.FromString(uri)
	if err != nil {
		return Identity{}, api.Refuse(api.InvalidArgument, "identity %q is not a SPIFFE id: %v", uri, err)
	}
	i := Identity{ClusterID: id.TrustDomain().Name()}
	segments := strings.Split(strings.TrimPrefix(id.Path(), "/"), "/")
	i.Role = api.Role(segments[0])
	if err := checkRole(i.Role); err != nil {
		return Identity{}, err
	}
	names := segments[1:]
	want := 1
	if i.Role == api.RoleCell {
		want = 2
	}
	if len(names) != want {
		return Identity{}, api.Refuse(api.InvalidArgument,
			"identity %q has %d names after role %s: it must have %d", uri, len(names), i.Role, want)
	}
	if i.Role == api.RoleCell {
		i.Provider, i.Cell = api.ProviderID(names[0]), api.CellID(names[1])
	} else {
		i.Name = names[0]
	}
	if err := i.Check(); err != nil {
		return Identity{}, err
	}
	return i, nil
}

// checkClusterID refuses what cannot be a SPIFFE trust domain: what is no name, and, since
// it stands where a URI has its host, a name with two dots in a row.
func checkClusterID(id string) error {
	if err := api.CheckName("cluster id", id); err != nil {
		return err
	}
	if strings.Contains(id, "..") {
		return api.Refuse(api.InvalidArgument, "cluster id %q has two dots in a row", id)
	}
	return nil
}

// checkRole refuses a role that is not in the closed list.
func checkRole(r api.Role) error {
	switch r {
	case api.RoleOperator, api.RoleTenant, api.RoleViewer, api.RoleCell, api.RoleScheduler:
		return nil
	}
	return api.Refuse(api.InvalidArgument, "role %.40q is not one of operator, tenant, viewer, cell, scheduler", string(r))
}

// isServer reports whether holders of the role serve TLS: schedulers their API, cells
// their data plane.
func isServer(r api.Role) bool { return r == api.RoleScheduler || r == api.RoleCell }
