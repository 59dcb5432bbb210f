package leader

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// desk is where one group is decided: the committed state, what is booked beyond it, and
// what the group itself has taken so far.
type desk struct {
	t      *term
	view   *fsm.View
	cells  map[api.CellID]api.Resources
	counts map[api.CellID]int
	gpus   map[api.CellID][]*booking // those that name gpus
	tenant map[api.TenantID]usage
	kept   rosters
	views  rosters // those of kept that this desk has read
	// refused has why a request was refused: one that asks for the same gets the same
	// explanation, until the desk gives something away.
	refused map[placement.Request]*api.Error
}

// usage is what a tenant holds beyond the committed state.
type usage struct {
	res    api.Resources
	leases int64
}

// newDesk reads what is in flight before the state: what is committed between the two is
// then in the state, and is not counted twice. Rosters that are kept are the desk's while it is used.
func (t *term) newDesk(kept rosters) *desk {
	inFlight := t.booked.list()
	d := &desk{
		t: t, view: t.cfg.Machine.View(),
		cells: map[api.CellID]api.Resources{}, counts: map[api.CellID]int{}, gpus: map[api.CellID][]*booking{},
		tenant: map[api.TenantID]usage{}, kept: kept, views: rosters{},
		refused: map[placement.Request]*api.Error{},
	}
	for _, b := range inFlight {
		if _, committed := d.view.Lease(b.first); !committed && !b.refused.Load() {
			d.take(b)
		}
	}
	return d
}

func (d *desk) take(b *booking) {
	of := b.res
	if b.gpu != nil {
		of.GPU = 0
		d.gpus[b.cell] = append(d.gpus[b.cell], b)
	}
	d.cells[b.cell] = d.cells[b.cell].Add(of)
	d.counts[b.cell] += b.leases
	u := d.tenant[b.tenant]
	d.tenant[b.tenant] = usage{u.res.Add(b.res), u.leases + int64(b.leases)}
}

// decide makes j ready to be committed, or answers it and returns false.
func (d *desk) decide(j *job) bool {
	if j.ctx.Err() != nil {
		j.refuse(api.Problem(j.ctx.Err()))
		return false
	}
	if j.grant == nil {
		return true
	}
	// In flight is asked first: what ends between the two questions is then seen.
	if d.t.booked.await(j) {
		return false
	}
	if a, answered := d.seen(j.grant.Idem); answered {
		j.reply(a)
		return false
	}
	if e := d.unknown(j.grant.Tenant); e != nil {
		j.refuse(e)
		return false
	}
	r := d.holding(d.request(j.grant))
	if j.grant.Cell != "" {
		return d.pin(j, r)
	}
	if e, again := d.refused[r]; again {
		j.refuse(own(e))
		return false
	}
	ros := d.provider(r.Provider)
	s, ok := d.pick(ros, r)
	if !ok {
		refusal := d.explain(r).Refusal
		refusal.Index = d.view.Index()
		d.refused[r] = refusal
		j.refuse(own(refusal))
		return false
	}
	return d.placed(j, ros, s, &r)
}

// placed has j placed, or answers it and returns false.
func (d *desk) placed(j *job, ros *roster, s seat, r *placement.Request) bool {
	e := d.place(j, ros, s, r)
	if e != nil {
		j.refuse(e)
	}
	return e == nil
}

// pin decides a request that names its cell, which is that of the conformance suite: nothing but room
// and readiness is in its way there.
func (d *desk) pin(j *job, r placement.Request) bool {
	ros := d.provider(r.Provider)
	one := &roster{view: placement.View{Provider: ros.view.Provider, Known: ros.view.Known}}
	at, known := ros.at(j.grant.Cell)
	if known {
		one.view.Cells = []placement.Cell{ros.view.Cells[at]}
		one.view.Cells[0].Unproven = false
		one.from = []origin{ros.from[at]}
	}
	s, ok := d.pick(one, r)
	if !ok {
		d.words(one)
		j.refuse(placement.Choose(one.view, r).Refusal)
		return false
	}
	s.at = at
	return d.placed(j, ros, s, &r)
}

// own is a copy of e for one more request: its answer may be given other words.
func own(e *api.Error) *api.Error {
	c := *e
	return &c
}

// seen answers a request whose idempotency key has its outcome already: by the newest state,
// so that nothing falls between a decision in flight and one that is committed.
func (d *desk) seen(i fsm.Idem) (answer, bool) {
	if i.Key == "" {
		return answer{}, false
	}
	rec, ok := d.t.cfg.Machine.View().IdemKey(i.Scope, i.Key)
	if !ok {
		return answer{}, false
	}
	if rec.Hash != i.Hash {
		return answer{err: api.Refuse(api.Conflict, "idempotency key %q was used before for another request, at index %d", i.Key, rec.Index).
			WithHint("use a key of its own for every request")}, true
	}
	return answer{result: fsm.Result{Index: rec.Index, Leases: rec.Leases, Run: rec.Run, Replayed: true}}, true
}

func (d *desk) request(g *fsm.GrantLeases) placement.Request {
	var res api.Resources
	for _, it := range g.Items {
		res = res.With(it.Kind, res.Get(it.Kind)+it.Amount)
	}
	r := placement.Request{
		Provider: g.Provider, Tenant: g.Tenant, Resources: res, Priority: g.Priority, Leases: len(g.Items),
	}
	gpusAsked(&r, g.Terms)
	return r
}

// unknown refuses a tenant that does not exist.
func (d *desk) unknown(t api.TenantID) *api.Error {
	if _, ok := d.view.Tenant(t); ok {
		return nil
	}
	return api.Refuse(api.NotFound, "tenant %q does not exist", t).WithHint("make it: grafos admin create-tenant %s", t)
}

// choose asks placement for a decision with its whole explanation.
func (d *desk) choose(r placement.Request) api.Plan {
	if e := d.unknown(r.Tenant); e != nil {
		return api.Plan{Decision: api.DecisionRefuse, Refusal: e}
	}
	return d.explain(d.holding(r))
}

// explain is placement's decision with what every cell had against it, in words.
func (d *desk) explain(r placement.Request) api.Plan {
	ros := d.provider(r.Provider)
	d.words(ros)
	return placement.Choose(ros.view, r)
}

// holding fills in what the tenant holds, committed or booked.
func (d *desk) holding(r placement.Request) placement.Request {
	held := d.view.TenantUsage(r.Tenant)
	more := d.tenant[r.Tenant]
	r.Quota, r.Used, r.InUse = held.Quota, held.Used.Add(more.res), held.Leases+more.leases
	d.gpuRequest(&r)
	return r
}

// provider is the roster of a provider, read once a group and kept up to date.
func (d *desk) provider(id api.ProviderID) *roster {
	if r, ok := d.views[id]; ok {
		return r
	}
	r := d.kept.of(d.view, id)
	d.book(r)
	d.views[id] = r
	return r
}

// place fills the command in and takes its resources from the desk.
func (d *desk) place(j *job, ros *roster, s seat, r *placement.Request) *api.Error {
	g, res := *j.grant, r.Resources
	taken := ros.touch(s.at)
	var gpu *api.GPUTerms
	if r.GPUClass != "" && res.GPU > 0 {
		terms, fresh, e := assign(&g, taken, r)
		if e != nil {
			return e
		}
		g.Terms, gpu, res.GPU = terms, terms.GPU, fresh
		taken.GPUs = taken.GPUs.With(g.Tenant, gpu, false, 1)
	}
	g.Cell, g.CellEpoch, g.Stamp = taken.ID, s.epoch, s.stamp
	g.Items = make([]fsm.GrantItem, len(j.grant.Items))
	for i, it := range j.grant.Items {
		it.ID = api.LeaseID(api.NewID(d.t.cfg.Random, "l-"))
		g.Items[i] = it
	}
	if g.Run != nil && g.Run.ID == "" {
		run := *g.Run
		run.ID = api.RunID(api.NewID(d.t.cfg.Random, "r-"))
		g.Run = &run
	}
	j.cmd = g
	b := &booking{first: g.Items[0].ID, cell: g.Cell, tenant: g.Tenant, res: r.Resources, leases: len(g.Items), gpu: gpu, idem: g.Idem}
	d.t.booked.add(j, b)
	d.take(b)
	clear(d.refused)
	taken.Free = taken.Free.Sub(res)
	taken.Leases += len(g.Items)
	return nil
}
