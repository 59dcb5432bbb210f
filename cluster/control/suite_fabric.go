package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/conformance"
	"github.com/grafos/grafos/fsm"
)

// suiteFabric is what a suite has of this scheduler.
type suiteFabric struct {
	control *Control
	cell    api.CellRecord
}

// Lease takes a lease on the suite's cell.
func (f *suiteFabric) Lease(ctx context.Context, r api.LeaseRequest) (api.Grant, error) {
	c := f.control
	r.Priority = priority("")
	g, err := grantOf(r, actor(ctx), api.WriteOptions{})
	if err != nil {
		return api.Grant{}, err
	}
	res, err := f.admit(ctx, g)
	if err != nil {
		return api.Grant{}, err
	}
	set, err := c.granted(ctx, res, c.bindUntil())
	if err != nil {
		return api.Grant{Lease: api.Lease{ID: res.Leases[0]}}, whose(ctx, err)
	}
	return set.Leases[0], nil
}

// admitTime bounds a decision.
const admitTime = 5 * time.Second

// admit has a grant decided on the suite's cell. Who stops the suite meanwhile does not stop that: what is
// granted has to be known, to be given back.
func (f *suiteFabric) admit(ctx context.Context, g fsm.GrantLeases) (fsm.Result, error) {
	if ctx.Err() != nil {
		return fsm.Result{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), admitTime)
	defer cancel()
	g.Cell = f.cell.ID
	res, err := f.control.cfg.Decider.Admit(ctx, g)
	if cell, ok := f.control.cfg.Machine.View().Cell(f.cell.ID); ok && stuck(&cell) {
		return res, conformance.StandsStill(err)
	}
	return res, conformance.NotTheCells(err)
}

// whose marks an error where the cell was not asked.
func whose(ctx context.Context, err error) error {
	if _, ok := errors.AsType[unasked](err); ok && ctx.Err() == nil {
		return conformance.NotTheCells(err)
	}
	return err
}

// decided marks an error where the decision about a lease was not taken: it stands in generation gen as it
// did before. That one ended meanwhile, or that its cell did not hear of the decision, is the cell's.
func (f *suiteFabric) decided(ctx context.Context, id api.LeaseID, gen uint64, err error) error {
	if err == nil {
		return nil
	}
	if l, ok := f.control.cfg.Machine.View().Lease(id); ok && (l.Generation != gen || !l.State.Usable()) {
		return whose(ctx, err)
	}
	return conformance.NotTheCells(err)
}

// generation returns the one of a lease before a decision about it.
func (f *suiteFabric) generation(id api.LeaseID) uint64 {
	l, _ := f.control.cfg.Machine.View().Lease(id)
	return l.Generation
}

// Renew extends a lease.
func (f *suiteFabric) Renew(ctx context.Context, id api.LeaseID, ttl time.Duration) (api.Grant, error) {
	gen := f.generation(id)
	a, err := f.control.RenewLease(ctx, id, api.RenewRequest{TTLMs: ttl.Milliseconds()}, api.WriteOptions{})
	if err != nil {
		return api.Grant{}, f.decided(ctx, id, gen, err)
	}
	return a.Lease, nil
}

// Free ends a lease on its holder's wish.
func (f *suiteFabric) Free(ctx context.Context, id api.LeaseID) error {
	gen := f.generation(id)
	_, err := f.control.FreeLease(ctx, id, api.WriteOptions{})
	return f.decided(ctx, id, gen, err)
}

// Revoke ends a lease against it.
func (f *suiteFabric) Revoke(ctx context.Context, id api.LeaseID) error {
	gen := f.generation(id)
	_, err := f.control.RevokeLease(ctx, id, api.RevokeRequest{}, api.WriteOptions{Reason: "conformance"})
	return f.decided(ctx, id, gen, err)
}

// Ended waits for the end of a lease.
func (f *suiteFabric) Ended(ctx context.Context, id api.LeaseID) (api.Lease, error) {
	m := f.control.cfg.Machine
	for {
		changed := m.Changed(fsm.LeaseTopic(id))
		l, ok := m.View().Lease(id)
		switch {
		case !ok:
			return l, conformance.NotTheCells(api.Refuse(api.NotFound, "lease %s is no longer known", id))
		case l.State.Terminal():
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return l, nil
		}
	}
}

// Execute runs a module on the suite's cell, and waits for its end.
func (f *suiteFabric) Execute(ctx context.Context, w conformance.Work) (api.RunAnswer, error) {
	c := f.control
	digest := api.DigestOf(sha256.Sum256(w.Module))
	if err := c.PutBlob(ctx, digest, int64(len(w.Module)), bytes.NewReader(w.Module)); err != nil {
		return api.RunAnswer{}, conformance.NotTheCells(err)
	}
	run := api.Run{
		Tenant: api.ConformanceTenant, Provider: f.cell.Provider, Tasklet: "conformance", Profile: api.ProfileWASI, Module: digest,
		Resources: w.Resources, TTLMs: w.TTL.Milliseconds(), Priority: priority(""),
	}
	if len(w.Egress) > 0 { // of whatever range: the suite reaches this scheduler's own host, and opens it to nobody
		run.Terms = &api.Terms{Egress: w.Egress}
	}
	res, err := f.admit(ctx, fsm.GrantLeases{
		Actor: actor(ctx), Tenant: run.Tenant, Provider: run.Provider, Priority: run.Priority, TTLMs: run.TTLMs,
		Items: items(w.Resources, api.UseLinear), Run: &run, Terms: run.Terms,
	})
	if err != nil {
		return api.RunAnswer{}, err
	}
	if w.Begun != nil {
		w.Begun(f.kinds(res.Leases))
	}
	a, err := f.finished(ctx, res.Run)
	if err != nil || !a.Finalised {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		for _, id := range res.Leases {
			_ = f.Free(ctx, id) // their time to live is short
		}
	}
	return a, err
}

// kinds is leases by what they are of.
func (f *suiteFabric) kinds(ids []api.LeaseID) map[api.LeaseKind]api.LeaseID {
	of, v := map[api.LeaseKind]api.LeaseID{}, f.control.cfg.Machine.View()
	for _, id := range ids {
		if l, ok := v.Lease(id); ok {
			of[l.Kind] = id
		}
	}
	return of
}

// finished waits until a run and its leases have ended.
func (f *suiteFabric) finished(ctx context.Context, id api.RunID) (api.RunAnswer, error) {
	c := f.control
	for {
		changed := c.cfg.Machine.Changed(fsm.RunTopic(id))
		v := c.cfg.Machine.View()
		a, err := c.answerRun(ctx, v, id)
		if err != nil {
			return api.RunAnswer{}, conformance.NotTheCells(err)
		}
		if a.Finalised {
			return *a, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return *a, nil // as it is
		}
	}
}

// LeaseData carries an operation to the cell.
func (f *suiteFabric) LeaseData(ctx context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	a, err := f.control.LeaseData(ctx, r)
	return a, whose(ctx, err)
}

// Fit refuses to go on where this scheduler does not lead any more, or where the cell is another agent's,
// or takes no leases.
func (f *suiteFabric) Fit() error {
	c := f.control
	if !c.cfg.Cluster.Leads() {
		return api.Refuse(api.NoLeader, "leadership moved while the suite ran: nothing is recorded").
			WithHint("run it again: grafos conformance run %s %s", f.cell.Provider, f.cell.ID)
	}
	v := c.cfg.Machine.View()
	rec, ok := v.Cell(f.cell.ID)
	if !ok || rec.Epoch != f.cell.Epoch {
		return api.Refuse(api.Conflict, "the agent of cell %s was started anew while the suite ran: nothing is recorded", f.cell.ID)
	}
	unfit := takes(v, rec)
	if stuck(&rec) {
		return conformance.StandsStill(unfit)
	}
	return unfit
}

// stuck reports whether the cell says that something on it does not move, a teardown for example.
func stuck(c *api.CellRecord) bool { return c.Healthy.Code == fsm.CodeStuck }
