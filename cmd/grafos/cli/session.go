package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// session is one command at work: the UI in front of it and the cluster behind it.
type session struct {
	*ui.UI
	Services
	conn ui.Connection
}

// online wraps a command that asks the cluster.
func (a *app) online(do func(context.Context, *session, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		u := ui.From(cmd.Context())
		ctx, cancel := u.Bound(cmd.Context())
		defer cancel()
		conn, err := u.Connect()
		if err != nil {
			return err
		}
		conn.Waiting = u.Waiting
		services, err := a.o.Connect(conn)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, services.Close()) }()
		return do(ctx, &session{UI: u, Services: services, conn: conn}, args)
	}
}

// tenant is whom a command creates for: the flag, or what the connection's source says.
func (s *session) tenant(flag string) api.TenantID {
	if flag != "" {
		return api.TenantID(flag)
	}
	return s.conn.Tenant
}

// leaseID calls do with the id that was given and, when there is no such lease, with the
// one that the given one is a unique prefix of.
func (s *session) leaseID(ctx context.Context, given string, do func(api.LeaseID) error) error {
	if given == "" {
		return api.Refuse(api.InvalidArgument, "the lease id is empty")
	}
	err := do(api.LeaseID(given))
	if api.KindOf(err) != api.NotFound {
		return err
	}
	var ids []api.LeaseID
	list, listErr := s.allLeases(ctx, api.LeaseFilter{All: true}, s.Read())
	if listErr != nil {
		return listErr
	}
	for _, l := range list.Leases {
		ids = append(ids, l.ID)
	}
	return again("lease", given, ids, err, do)
}

// runID is leaseID for runs.
func (s *session) runID(ctx context.Context, given string, do func(api.RunID) error) error {
	if given == "" {
		return api.Refuse(api.InvalidArgument, "the run id is empty")
	}
	err := do(api.RunID(given))
	if api.KindOf(err) != api.NotFound {
		return err
	}
	var ids []api.RunID
	list, listErr := s.allRuns(ctx, api.RunFilter{}, s.Read())
	if listErr != nil {
		return listErr
	}
	for _, r := range list.Runs {
		ids = append(ids, r.ID)
	}
	return again("run", given, ids, err, do)
}

// again repeats do with the id that given is a prefix of. Where that is no other id, the
// answer stays the one that the cluster gave.
func again[S ~string](what, given string, ids []S, first error, do func(S) error) error {
	id, err := ui.Prefix(what, given, ids)
	if api.KindOf(err) == api.NotFound || string(id) == given {
		return first
	}
	if err != nil {
		return err
	}
	return do(id)
}

// maxPages bounds a list, so that a scheduler that always has another page is noticed.
const maxPages = 1 << 14

// allLeases reads a list whole, page by page.
func (s *session) allLeases(ctx context.Context, f api.LeaseFilter, o api.ReadOptions) (*api.LeaseList, error) {
	all, err := s.ListLeases(ctx, f, o)
	if err != nil {
		return nil, err
	}
	o = s.Read()
	for range maxPages {
		if all.NextPage == "" {
			return all, nil
		}
		f.Page = all.NextPage
		page, err := s.ListLeases(ctx, f, o)
		if err != nil {
			return nil, err
		}
		all.Leases, all.NextPage = append(all.Leases, page.Leases...), page.NextPage
	}
	return nil, api.Refuse(api.Internal, "the list of leases does not end")
}

// allRuns reads a list whole, page by page.
func (s *session) allRuns(ctx context.Context, f api.RunFilter, o api.ReadOptions) (*api.RunList, error) {
	all, err := s.ListRuns(ctx, f, o)
	if err != nil {
		return nil, err
	}
	o = s.Read()
	for range maxPages {
		if all.NextPage == "" {
			return all, nil
		}
		f.Page = all.NextPage
		page, err := s.ListRuns(ctx, f, o)
		if err != nil {
			return nil, err
		}
		all.Runs, all.NextPage = append(all.Runs, page.Runs...), page.NextPage
	}
	return nil, api.Refuse(api.Internal, "the list of runs does not end")
}
