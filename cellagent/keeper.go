package cellagent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/cellagent/ledger"
)

// bindersMost bounds the bindings that are opened at one time.
const bindersMost = 16

// phase is where a held lease is.
type phase int

const (
	phaseBinding phase = iota
	phaseBound
	phaseEnding
)

// holding is one lease that the cell holds. Its fields are guarded by keeper.mu.
type holding struct {
	lease    api.Lease // the newest record, Expires and State included
	deadline int64     // CLOCK_BOOTTIME ns; C1: moves only with the generation
	phase    phase
	since    int64  // CLOCK_BOOTTIME ns, when it began to be bound or torn down
	open     Opened // nil until bound
	reason   string // why it ends
	// adopted is that an agent before this one held it, and that no set has shown it since.
	adopted bool
	force   api.Tick // the announced end that was passed on; 0 is none
	// confirmed is the index at which the schedulers had the binding of this generation.
	confirmed uint64
	// bound is closed when Bind has returned, whatever it returned; nil is that nobody had to wait.
	bound chan struct{}
	slot  int // in keeper.due; -1 is none
}

// keeper holds the leases and runs of the cell: it takes desired sets, opens and closes
// bindings, watches deadlines, and puts what became of it all into the outbox.
type keeper struct {
	cell       api.CellID
	clock      Clock
	host       Binder
	broker     Broker
	ledger     *ledger.Ledger
	outbox     *outbox
	coordinate func(*api.Lease) string
	relayed    func(context.Context, api.Ask) // takes an operation that comes through a scheduler
	workshop   *workshop
	log        hclog.Logger

	// tasks are the goroutines that bind, tear down, run and store.
	tasks   sync.WaitGroup
	binders chan struct{}
	kick    chan struct{} // the earliest deadline may have changed

	mu      sync.Mutex
	closing bool
	index   uint64 // of the newest set that was applied
	heard   uint64 // the highest index of any message or answer
	held    map[api.LeaseID]*holding
	moving  map[api.LeaseID]*holding // those of held that are being bound or torn down
	due     deadlines
	gone    graveyard
	runs    map[api.RunID]*tracked
	fresh   []api.RunID // whose leases were bound while a set was applied
	// before is what agents before this one had accepted, floor what this one and they have.
	before map[api.LeaseID]ledger.Entry
	floor  ledger.Floor
	sealed error // why nothing of the set that is applied may be bound or renewed
	lifts  map[api.LeaseID]*lifting
	// leftovers are those of fenced leases; unclosed says which of them were fenced while the agent closed.
	leftovers map[api.LeaseID]leftover
	unclosed  []error
}

func newKeeper(k *keeper) *keeper {
	k.binders = make(chan struct{}, bindersMost)
	k.kick = make(chan struct{}, 1)
	k.held = make(map[api.LeaseID]*holding)
	k.moving = make(map[api.LeaseID]*holding)
	k.runs = make(map[api.RunID]*tracked)
	k.gone = newGraveyard(gravesMost)
	k.before = make(map[api.LeaseID]ledger.Entry)
	k.lifts, k.leftovers = make(map[api.LeaseID]*lifting), make(map[api.LeaseID]leftover)
	return k
}

// seen returns the highest index that the cell has heard of.
func (k *keeper) seen() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.heard
}

// begin is told of a registration: no session may begin behind its index. Under a new epoch
// what was confirmed and seen before counts for nothing: the cluster may have been recovered
// from an older state, and counts its indexes from there.
func (k *keeper) begin(index uint64, anew bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !anew {
		k.heard = max(k.heard, index)
		return
	}
	k.index, k.heard = 0, index
	for _, h := range k.held {
		h.confirmed = 0
	}
	for _, t := range k.runs {
		t.confirmed = 0
	}
	k.gone.doubt()
}

// take applies a message of the active session. A set that is older than the newest applied
// one is ignored; its questions are answered all the same. One that is below the floor is refused,
// which is the error. ctx is the agent's life; take is called by one goroutine.
func (k *keeper) take(ctx context.Context, d api.Desired) error {
	at := moment{bootID: k.clock.BootID(), receipt: k.clock.Now()}
	newer, err := k.newer(d)
	if err != nil {
		return err
	}
	if newer {
		k.fences(ctx, d)
		sealed := k.accept(d, at)
		k.mu.Lock()
		if !k.closing {
			k.index, k.heard, k.sealed = d.Index, max(k.heard, d.Index), sealed
			k.reconcile(ctx, d, at)
			k.gone.ripen(k.index)
			if sealed == nil {
				k.floor = k.floor.Raise(ledger.Floor{Cluster: d.ClusterEpoch, Epoch: d.Epoch})
			}
		}
		k.mu.Unlock()
	}
	for _, ask := range d.Asks {
		if ask.Data != nil {
			k.relayed(ctx, ask)
			continue
		}
		k.outbox.putMinted(k.answer(ask))
	}
	return nil
}

// newer reports whether a message is to be applied. An error is that its session is not to be
// listened to any more.
func (k *keeper) newer(d api.Desired) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.outdated(d); err != nil {
		return false, err
	}
	if d.Index < k.index {
		k.log.Debug("older set ignored", "index", d.Index, "seen", k.index)
	}
	return !k.closing && d.Index >= k.index, nil
}

func (k *keeper) reconcile(ctx context.Context, d api.Desired, at moment) {
	for _, run := range d.Runs {
		k.reconcileRun(ctx, run)
	}
	for _, l := range d.Leases {
		if l.CellID != k.cell {
			k.log.Error("lease of another cell was sent here", "lease_id", l.ID, "cell_id", l.CellID)
			continue
		}
		k.apply(ctx, l, decide(l, k.standing(l.ID), at), at)
		k.warn(l, left(int64(l.ForceAt), int64(d.Now)), at)
	}
	if d.Full {
		k.sweep(ctx, d)
	}
	for _, run := range d.Runs {
		k.tryStart(ctx, run.ID)
	}
	for _, run := range k.fresh {
		k.tryStart(ctx, run)
	}
	k.fresh = nil
}

// close takes no more sets and ends everything that is held, but for what outlives the agent. It
// does not wait.
func (k *keeper) close(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closing = true
	for _, t := range k.runs {
		k.stopRun(ctx, t, reasonAgentStopping)
	}
	now, boot := k.clock.Now(), k.clock.BootID()
	for _, h := range k.held {
		e := ledger.EntryOf(&h.lease, boot, h.deadline)
		if h.phase == phaseBound && e.Survives(boot, now) {
			k.unschedule(h)
			continue
		}
		k.end(ctx, h, reasonAgentStopping)
	}
}

// failed returns what could not be torn down as the agent closed. What was fenced before is no failure of its closing.
func (k *keeper) failed() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.unclosed...)
}

// sweep ends what is held beyond the whole desired set.
func (k *keeper) sweep(ctx context.Context, d api.Desired) {
	leases := make(map[api.LeaseID]bool, len(d.Leases))
	for _, l := range d.Leases {
		leases[l.ID] = true
	}
	for id, h := range k.held {
		if !leases[id] {
			k.end(ctx, h, reasonNotDesired)
		}
	}
	for id, e := range k.before {
		if !leases[id] {
			delete(k.before, id)
			k.ledger.End(id, e.Epoch)
		}
	}
	k.gone.closeExcept(leases, d.Index)
	runs := make(map[api.RunID]bool, len(d.Runs))
	for _, r := range d.Runs {
		runs[r.ID] = true
	}
	for id, t := range k.runs {
		if !runs[id] {
			k.forget(t)
		}
	}
}

// standing returns what the cell has of a lease.
func (k *keeper) standing(id api.LeaseID) standing {
	if h, ok := k.held[id]; ok {
		return standing{held: true, ending: h.phase == phaseEnding, epoch: h.lease.Epoch, generation: h.lease.Generation}
	}
	if _, ok := k.gone.find(id); ok {
		return standing{gone: true}
	}
	s := standing{floor: k.floor.Epoch}
	if e, ok := k.before[id]; ok {
		s.before = &e
	}
	return s
}

// apply does what was decided about one lease.
func (k *keeper) apply(ctx context.Context, l api.Lease, s step, at moment) {
	switch s.verb {
	case doNothing:
		if s.reason != "" {
			k.log.Warn("renewal not applied", "lease_id", l.ID, "generation", l.Generation, "reason", s.reason)
		}
	case doBind:
		if k.sealed != nil {
			k.refuse(ctx, l, clip(fmt.Sprintf("%s: %v", reasonBindFailed, k.sealed)))
			return
		}
		k.bind(ctx, l, s.deadline, at)
	case doRenew:
		if k.sealed == nil { // else it ends at the deadline that it has
			k.renew(l, s.deadline)
		}
	case doUpdate:
		h := k.held[l.ID]
		h.lease.State, h.lease.Reason = l.State, l.Reason
		if h.adopted { // its holder needs a token of this agent's, and perhaps another address
			h.lease, h.adopted = l, false
			k.outbox.putBound(l.ID)
			return
		}
		if h.phase == phaseBound && l.BoundGeneration < h.lease.Generation && k.index > h.confirmed {
			k.outbox.repeatBound(l.ID)
		}
	case doEnd:
		h := k.held[l.ID]
		h.lease.State, h.lease.Reason = l.State, l.Reason
		k.end(ctx, h, s.reason)
	case doRefuse:
		k.refuse(ctx, l, s.reason)
	case doRepeatEnd:
		k.repeatEnd(l)
	case doForget:
		k.gone.close(l.ID)
	}
}

// bind opens the binding of a new lease: at once, or, where there may be a wait, beside.
func (k *keeper) bind(ctx context.Context, l api.Lease, deadline int64, at moment) {
	h := &holding{lease: l, deadline: deadline, phase: phaseBinding, since: at.receipt, slot: -1}
	k.held[l.ID] = h
	delete(k.before, l.ID)
	k.schedule(h)
	if k.host.Prompt(l) {
		open, err := k.host.Bind(l)
		k.opened(ctx, h, open, err)
		if h.phase == phaseBound && l.RunID != "" {
			k.fresh = append(k.fresh, l.RunID)
		}
		return
	}
	h.bound = make(chan struct{})
	k.moving[l.ID] = h
	k.tasks.Go(func() {
		k.binders <- struct{}{}
		open, err := k.host.Bind(l)
		if err == nil {
			err = k.ledger.Sync() // what is on a disk is said to be there when the disk has it
		}
		<-k.binders
		k.mu.Lock()
		defer k.mu.Unlock()
		defer close(h.bound)
		k.opened(ctx, h, open, err)
		if h.phase == phaseBound {
			k.tryStart(ctx, l.RunID)
		}
	})
}

// opened takes what Bind returned.
func (k *keeper) opened(ctx context.Context, h *holding, open Opened, err error) {
	if err != nil {
		k.log.Error("bind refused", "lease_id", h.lease.ID, "kind", h.lease.Kind, "amount", h.lease.Amount, "error", err)
		h.open = open // what could not be closed again is closed once more, to say so
		k.end(ctx, h, clip(fmt.Sprintf("%s: %v", reasonBindFailed, err)))
		return
	}
	h.open = open
	open.Until(h.deadline)
	if h.phase != phaseBinding {
		return // it ended meanwhile; its teardown waits for this
	}
	h.phase = phaseBound
	delete(k.moving, h.lease.ID)
	k.outbox.putBound(h.lease.ID)
	if k.log.IsDebug() {
		k.log.Debug("lease bound", "lease_id", h.lease.ID, "kind", h.lease.Kind, "generation", h.lease.Generation)
	}
}

// renew applies a newer generation: new deadline, and a report with a new token.
func (k *keeper) renew(l api.Lease, deadline int64) {
	h := k.held[l.ID]
	h.lease, h.deadline, h.confirmed, h.adopted = l, deadline, 0, false
	k.schedule(h)
	if t := k.runOf(l); t != nil {
		k.extend(t)
	}
	if h.phase == phaseBound {
		h.open.Until(deadline)
		k.outbox.putBound(l.ID)
	}
	k.log.Debug("lease renewed", "lease_id", l.ID, "generation", l.Generation)
}

// boundReports makes the reports of bindings as they are now, and names those that are not bound. A
// token is minted for what is left of the lease (C5).
func (k *keeper) boundReports(ids []api.LeaseID) (reports []api.BoundReport, stale []api.LeaseID) {
	if len(ids) == 0 {
		return nil, nil
	}
	leases, ends := make([]api.Lease, 0, len(ids)), make([]time.Duration, 0, len(ids))
	k.mu.Lock()
	for _, id := range ids {
		if h, ok := k.held[id]; ok && h.phase == phaseBound && !h.adopted {
			leases, ends = append(leases, h.lease), append(ends, time.Duration(h.deadline))
		} else {
			stale = append(stale, id)
		}
	}
	k.mu.Unlock()
	now := k.clock.Now()
	for i := range ends {
		ends[i] -= time.Duration(now)
	}
	tokens, errs := k.broker.MintAll(leases, ends)
	reports = make([]api.BoundReport, len(leases))
	for i, l := range leases {
		reports[i] = api.BoundReport{LeaseID: l.ID, Generation: l.Generation, Epoch: l.Epoch, Coordinate: k.coordinate(&leases[i]), Token: tokens[i]}
		if errs[i] != nil {
			// The binding is open all the same; the holder asks for a token.
			k.log.Warn("mint token", "lease_id", l.ID, "error", errs[i])
		}
	}
	return reports, stale
}

// confirm notes what a report's answer confirmed.
func (k *keeper) confirm(r api.Report, a *api.ReportAnswer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	index := a.Index
	k.heard = max(k.heard, index)
	for _, b := range r.Bound {
		if h, ok := k.held[b.LeaseID]; ok && h.lease.Generation == b.Generation && h.lease.Epoch == b.Epoch {
			h.confirmed = index
		}
	}
	for _, e := range r.Ended {
		refused := slices.ContainsFunc(a.Refused, func(r api.ReportRefusal) bool { return r.LeaseID == e.LeaseID })
		k.gone.confirm(e.LeaseID, index, !refused)
	}
	k.gone.ripen(k.index)
	for _, run := range r.Runs {
		if t, ok := k.runs[run.RunID]; ok && t.run.Attempt == run.Attempt {
			t.confirmed = index
		}
	}
}

// answer mints the token that a scheduler asks for, or says why not.
func (k *keeper) answer(a api.Ask) api.Minted {
	m := api.Minted{AskID: a.ID, LeaseID: a.LeaseID}
	l, deadline, err := k.usable(a.LeaseID)
	if err == nil && l.Generation != a.Generation {
		err = api.Refuse(api.StaleGeneration, "lease %s is held in generation %d, the question is about %d",
			a.LeaseID, l.Generation, a.Generation)
	}
	if err == nil {
		m.Token, err = k.broker.Mint(l, left(deadline, k.clock.Now()))
	}
	if err != nil {
		m.Problem = api.Problem(err)
	}
	return m
}

// usable returns a lease that is bound and not over, or the refusal.
func (k *keeper) usable(id api.LeaseID) (api.Lease, int64, error) {
	l, _, deadline, err := k.find(id)
	if err != nil {
		return l, 0, err
	}
	switch {
	case l.State == api.LeaseExpired:
		return l, 0, api.RefuseEnded(api.LeaseExpiredKind, "lease %s has ended: %s", id, l.Reason)
	case l.State == api.LeaseFenced:
		return l, 0, api.RefuseFenced(&l, l.Reason)
	case !l.State.Usable():
		return l, 0, api.RefuseEnded(api.LeaseRevoked, "lease %s has ended: %s", id, l.Reason)
	}
	return l, deadline, nil
}

// find returns the cell's own record of a lease, as it stands at this moment, and its binding,
// where that is open and in use.
func (k *keeper) find(id api.LeaseID) (api.Lease, Opened, int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g, ok := k.gone.find(id); ok {
		return g.lease, nil, 0, nil
	}
	h, ok := k.held[id]
	if !ok || h.phase == phaseBinding || h.adopted {
		return api.Lease{}, nil, 0, api.Refuse(api.NotFound, "lease %s is not bound on this cell", id)
	}
	l := h.lease
	switch {
	case h.phase == phaseEnding:
		l.State, l.Reason = endingState(h.reason), h.reason
	case k.clock.Now() >= h.deadline && !mutant.On(mutant.ServeLate):
		// Its timer is about to say so; a request that comes between is no later than that.
		l.State, l.Reason = api.LeaseExpired, reasonExpired
	default:
		return l, h.open, h.deadline, nil
	}
	return l, nil, h.deadline, nil
}

// endingState is the state that a lease on its way down has for its holder.
func endingState(reason string) api.LeaseState {
	if reason == reasonExpired {
		return api.LeaseExpired
	}
	return api.LeaseForcedTeardown
}

// clip bounds a reason.
func clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return s[:most]
}
