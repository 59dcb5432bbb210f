package fsm

import (
	"slices"
	"strconv"
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
	list  []V
	more  bool
}

func newPage[V any](limit int) *page[V] {
	if limit <= 0 {
		limit = DefaultPage
	}
	return &page[V]{limit: min(limit, MaxPage), list: []V{}}
}

// take adds v; false ends the walk, since one more than the limit was seen.
func (p *page[V]) take(v V) bool {
	if p.more = len(p.list) == p.limit; p.more {
		return false
	}
	p.list = append(p.list, v)
	return true
}

// next returns what continues the list behind its last element, "" when that was all.
func (p *page[V]) next(after func(V) string) string {
	if !p.more {
		return ""
	}
	return after(p.list[len(p.list)-1])
}

// ListLeases lists the leases that f takes, the oldest first; of one tenant, those that have
// not ended before the others. Ended ones are left out unless f.All or f.State asks for them.
// next, where it is not empty, is the f.Page that continues the list.
func (v *View) ListLeases(f api.LeaseFilter) (leases []api.Lease, next string) {
	p := newPage[api.Lease](f.Limit)
	w := leaseWalk{v: v, f: f, take: p.take}
	w.after, w.past = leaseAfter(f.Page)
	w.ended = f.All || f.State.Terminal() && f.State != api.LeaseFenced
	switch {
	case f.Run != "":
		w.ofRun()
	case f.Tenant != "":
		w.ofTenant()
	case f.Cell != "":
		w.ofCell()
	default:
		w.all()
	}
	return p.list, p.next(func(l api.Lease) string {
		part := "0/"
		if f.Run == "" && f.Tenant != "" && l.State.Terminal() {
			part = "1/"
		}
		return part + strconv.FormatUint(l.Epoch, 10)
	})
}

// leaseAfter reads what ListLeases returned as next: behind which lease, and whether that is
// in the second part of the list. What it did not return begins the list afresh.
func leaseAfter(page string) (after serial, past bool) {
	part, epoch, _ := strings.Cut(page, "/")
	n, err := strconv.ParseUint(epoch, 10, 64)
	if err != nil {
		return 0, false
	}
	return serial(n), part == "1"
}

// leaseWalk visits the leases that a filter may take, from one on.
type leaseWalk struct {
	v     *View
	f     api.LeaseFilter
	take  func(api.Lease) bool
	after serial
	past  bool // after is among a tenant's leases that have ended
	ended bool // those that have ended are wanted too
}

// visit takes a lease if the filter does; false ends the walk.
func (w *leaseWalk) visit(epoch serial) bool {
	if epoch == w.after {
		return true
	}
	l := w.v.lease(epoch)
	return !takesLease(w.f, l) || w.take(l)
}

func (w *leaseWalk) ofRun() {
	run := string(w.f.Run)
	w.v.leases.run.Ascend(runKey{run, w.after}, func(k runKey, _ struct{}) bool {
		return k.run == run && w.visit(k.epoch)
	})
}

func (w *leaseWalk) ofTenant() {
	use := w.v.leases.heldBy(w.f.Tenant)
	visit := func(epoch serial) bool { return w.visit(epoch) }
	if !w.past {
		on := true
		use.open.Ascend(w.after, func(epoch serial) bool {
			on = w.visit(epoch)
			return on
		})
		if !on || !w.ended && w.f.State == "" {
			return
		}
		w.after = 0
	}
	use.past.Ascend(w.after, visit)
}

func (w *leaseWalk) ofCell() {
	use := w.v.leases.useOf(w.f.Cell)
	var epochs []serial
	collect := func(epoch serial) bool {
		if epoch > w.after {
			epochs = append(epochs, epoch)
		}
		return true
	}
	use.held.Ascend(w.after, collect)
	if w.ended {
		use.past.Ascend(w.after, collect)
	}
	slices.Sort(epochs)
	for _, epoch := range epochs {
		if !w.visit(epoch) {
			return
		}
	}
}

func (w *leaseWalk) all() {
	w.v.leases.byEpoch.Ascend(w.after, func(epoch serial, r leaseRecord) bool {
		return !w.ended && !r.occupies() || w.visit(epoch)
	})
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
	p := newPage[api.Run](f.Limit)
	visit := func(r api.Run, key string) bool {
		return key == f.Page || !takesRun(f, r) || p.take(r)
	}
	if f.Tenant != "" {
		key := func(r api.Run) string {
			return liveKey{ended: r.State.Terminal(), id: string(r.ID)}.page()
		}
		v.runs.tenant.Ascend(liveKeyOf(string(f.Tenant), f.Page), func(k liveKey, _ struct{}) bool {
			r, _ := v.runs.byID.Get(api.RunID(k.id))
			return k.owner == string(f.Tenant) && visit(r, k.page())
		})
		return p.list, p.next(key)
	}
	v.runs.byID.Ascend(api.RunID(f.Page), func(id api.RunID, r api.Run) bool {
		return visit(r, string(id))
	})
	return p.list, p.next(func(r api.Run) string { return string(r.ID) })
}

func takesRun(f api.RunFilter, r api.Run) bool {
	return (f.Tenant == "" || r.Tenant == f.Tenant) &&
		(f.Provider == "" || r.Provider == f.Provider) &&
		(f.Cell == "" || r.CellID == f.Cell) &&
		(f.State == "" || r.State == f.State)
}
