package fsm

import (
	"strings"

	"github.com/grafos/grafos/api"
)

// DefaultPage and MaxPage bound a page of a list.
const (
	DefaultPage = 500
	MaxPage     = 5000
)

// page collects what a filter takes, up to a limit, and remembers where it stopped.
type page[V any] struct {
	limit int
	after string // continue behind this key
	list  []V
	last  string
	next  string
}

func newPage[V any](limit int, after string) *page[V] {
	if limit <= 0 {
		limit = DefaultPage
	}
	return &page[V]{limit: min(limit, MaxPage), after: after, list: []V{}}
}

// take adds v; false ends the walk, since one more than the limit was seen.
func (p *page[V]) take(v V, key string) bool {
	if len(p.list) == p.limit {
		p.next = p.last
		return false
	}
	p.list = append(p.list, v)
	p.last = key
	return true
}

// ListLeases lists the leases that f takes. Ended ones are left out unless f.All or f.State
// asks for them. next, where it is not empty, is the f.Page that continues the list.
func (v *View) ListLeases(f api.LeaseFilter) (leases []api.Lease, next string) {
	p := newPage[api.Lease](f.Limit, f.Page)
	visit := func(id, key string) bool {
		l, _ := v.leases.byID.Get(api.LeaseID(id))
		return key == p.after || !takesLease(f, l) || p.take(l, key)
	}
	switch ended := f.All || f.State.Terminal() && f.State != api.LeaseFenced; {
	case f.Run != "":
		v.leases.run.Ascend(ownKey{string(f.Run), p.after}, func(k ownKey) bool {
			return k.owner == string(f.Run) && visit(k.id, k.id)
		})
	case f.Tenant != "":
		v.leases.tenant.Ascend(liveKeyOf(string(f.Tenant), p.after), func(k liveKey) bool {
			return k.owner == string(f.Tenant) && (ended || !k.ended || f.State != "") && visit(k.id, k.page())
		})
	case ended:
		v.leases.byID.Ascend(api.LeaseID(p.after), func(id api.LeaseID, _ api.Lease) bool {
			return visit(string(id), string(id))
		})
	default:
		cell, id, _ := strings.Cut(p.after, "/")
		v.leases.onCell.Ascend(ownKey{max(cell, string(f.Cell)), id}, func(k ownKey) bool {
			return (f.Cell == "" || k.owner == string(f.Cell)) && visit(k.id, k.owner+"/"+k.id)
		})
	}
	return p.list, p.next
}

// page returns the place of the key in a list: live records come first.
func (k liveKey) page() string {
	if k.ended {
		return "1/" + k.id
	}
	return "0/" + k.id
}

// liveKeyOf reads what page returned.
func liveKeyOf(owner, after string) liveKey {
	part, id, _ := strings.Cut(after, "/")
	return liveKey{owner: owner, ended: part == "1", id: id}
}

func takesLease(f api.LeaseFilter, l api.Lease) bool {
	return (f.Tenant == "" || l.Tenant == f.Tenant) &&
		(f.Provider == "" || l.Provider == f.Provider) &&
		(f.Cell == "" || l.CellID == f.Cell) &&
		(f.Run == "" || l.RunID == f.Run) &&
		(f.State == "" || l.State == f.State) &&
		(f.All || f.State != "" || !l.State.Terminal())
}

// ListRuns lists the runs that f takes, by id; of one tenant, those without a result first.
func (v *View) ListRuns(f api.RunFilter) (runs []api.Run, next string) {
	p := newPage[api.Run](f.Limit, f.Page)
	visit := func(r api.Run, key string) bool {
		return key == p.after || !takesRun(f, r) || p.take(r, key)
	}
	if f.Tenant != "" {
		v.runs.tenant.Ascend(liveKeyOf(string(f.Tenant), p.after), func(k liveKey) bool {
			r, _ := v.runs.byID.Get(api.RunID(k.id))
			return k.owner == string(f.Tenant) && visit(r, k.page())
		})
		return p.list, p.next
	}
	v.runs.byID.Ascend(api.RunID(p.after), func(id api.RunID, r api.Run) bool {
		return visit(r, string(id))
	})
	return p.list, p.next
}

func takesRun(f api.RunFilter, r api.Run) bool {
	return (f.Tenant == "" || r.Tenant == f.Tenant) &&
		(f.Provider == "" || r.Provider == f.Provider) &&
		(f.Cell == "" || r.CellID == f.Cell) &&
		(f.State == "" || r.State == f.State)
}
