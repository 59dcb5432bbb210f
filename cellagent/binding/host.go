package binding

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/egress"
)

// Options says what a Host may bind.
type Options struct {
	// Dir holds the block files. It is this agent's alone, and what a previous one left in
	// it is wiped at Open, but for what is fenced or kept.
	Dir string
	// Capacity is the most that is ever bound, in each dimension.
	Capacity api.Resources
	Log      hclog.Logger
	// CloseBound is how long a teardown waits for operations; 0 is api.TeardownBound.
	CloseBound time.Duration
	// Now is the clock of the bindings' deadlines; without it they have none.
	Now func() int64
	// Fenced is what agents before this one could not tear down: it is counted before anything
	// else is bound, and its files are set aside.
	Fenced []Fence
	// Kept are block leases whose files an agent before this one left: they are found by Adopt.
	Kept []api.Lease
	// Outside is where flows of net leases go; a zero one is the host's own network.
	Outside egress.System
	// Faults go wrong on purpose; nil is none.
	Faults *Faults
}

// Host binds the leases of one cell. It is safe for concurrent use.
type Host struct {
	dir        string
	capacity   api.Resources
	log        hclog.Logger
	closeBound time.Duration
	now        func() int64
	faults     *Faults
	outside    egress.System
	lock       *os.File
	pool       pool
	opening    sync.WaitGroup // of Bind
	once       sync.Once
	closeErr   error

	mu      sync.Mutex
	closed  bool
	used    api.Resources
	devices api.GPUUses            // of the gpus that leases name
	bound   map[api.LeaseID]*bound // nil while its resource is being opened
	kept    map[api.LeaseID]*bound // those of bound that nobody has adopted
}

// Open takes the directory for this agent and wipes it.
func Open(o Options) (*Host, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make block directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	h := &Host{
		dir: o.Dir, capacity: o.Capacity, log: o.Log, closeBound: o.CloseBound, lock: lock,
		now: o.Now, faults: o.Faults, outside: o.Outside, bound: map[api.LeaseID]*bound{}, kept: map[api.LeaseID]*bound{},
	}
	if h.closeBound == 0 {
		h.closeBound = api.TeardownBound
	}
	if err := h.restore(o); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return h, nil
}

// restore takes what agents before this one left: what is fenced is counted, the rest is wiped.
func (h *Host) restore(o Options) error {
	if err := os.MkdirAll(filepath.Join(o.Dir, dirFenced), 0o700); err != nil {
		return fmt.Errorf("make directory of fenced blocks: %w", err)
	}
	keep := map[string]bool{}
	for _, f := range o.Fenced {
		h.Fence(f)
		keep[blockPath(o.Dir, f.Lease)] = true
	}
	for i := range o.Kept {
		l := &o.Kept[i]
		if err := h.find(l); err != nil {
			h.log.Warn("block is not kept", "lease_id", l.ID, "error", err)
			continue
		}
		keep[blockPath(o.Dir, l.ID)] = true
	}
	return wipeBlocks(o.Dir, keep)
}

// find opens what was left of a block lease.
func (h *Host) find(l *api.Lease) error {
	if err := check(*l); err != nil {
		return err
	}
	if err := h.reserve(*l); err != nil {
		return err
	}
	defer h.opening.Done()
	s, err := findBlock(h.dir, l.ID, l.Amount)
	b := &bound{host: h, lease: l.ID, kind: l.Kind, amount: l.Amount, store: s}
	if err != nil {
		h.release(b)
		return err
	}
	h.keep(b)
	h.kept[l.ID] = b
	return nil
}

// Adopt returns the binding of a block lease that was kept, once.
func (h *Host) Adopt(id api.LeaseID) (Binding, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.kept[id]
	delete(h.kept, id)
	if !ok {
		return nil, false
	}
	return b, true
}

func (o Options) validate() error {
	if !filepath.IsAbs(o.Dir) {
		return fmt.Errorf("block directory %q is not an absolute path", o.Dir)
	}
	if o.Log == nil {
		return errors.New("binding log is missing")
	}
	for _, k := range api.LeaseKinds() {
		if n := o.Capacity.Get(k); n < 0 || n > api.MaxAmount {
			return fmt.Errorf("capacity of %s is %d: it must be from 0 to %d", k, n, int64(api.MaxAmount))
		}
	}
	if o.CloseBound < 0 {
		return fmt.Errorf("close bound is %s: it cannot be negative", o.CloseBound)
	}
	return nil
}

// Bind opens the resource behind a lease. It refuses with overloaded when the amount is not
// free here, whatever the scheduler thinks; with conflict when the lease is bound or fenced
// already; with invalid_argument what is no resource. A Binding beside a refusal is of a resource
// that was opened in part and could not be closed again: it is fenced.
func (h *Host) Bind(l api.Lease) (Binding, error) {
	if err := check(l); err != nil {
		return nil, err
	}
	if err := h.reserve(l); err != nil {
		return nil, err
	}
	defer h.opening.Done()
	s, err := h.openStore(l)
	b := &bound{host: h, lease: l.ID, kind: l.Kind, amount: l.Amount, tenant: l.Tenant, gpu: gpusOf(&l), store: s}
	if err == nil && l.Kind == api.KindNet && l.RunID != "" {
		err = b.openFlows(l)
	}
	if err == nil {
		h.keep(b)
		return b, nil
	}
	h.log.Warn("lease is not bound", "lease_id", l.ID, "tenant", l.Tenant, "error", err)
	refusal := api.Refuse(api.Overloaded, "bind lease %s: %v", l.ID, err)
	if s == nil {
		h.release(b)
		return nil, refusal
	}
	// A part was opened and would not go away: it stays counted, and its Close says so.
	b.closed, b.fence = true, err
	h.keep(b)
	return b, refusal
}

// Prompt reports that Bind of a lease waits for no disk.
func (h *Host) Prompt(l api.Lease) bool {
	return l.Kind != api.KindBlock && !h.faults.delaysBind(l.Kind)
}

// check refuses a lease that describes no resource.
func check(l api.Lease) error {
	if l.ID == "" {
		return api.Refuse(api.InvalidArgument, "lease has no id")
	}
	if l.Amount <= 0 || l.Amount > api.MaxAmount {
		return api.Refuse(api.InvalidArgument, "lease %s is for %d %s: it must be from 1 to %d", l.ID, l.Amount, l.Kind.Unit(), int64(api.MaxAmount))
	}
	switch l.Kind {
	case api.KindCPU, api.KindNet, api.KindGPU:
		return nil
	case api.KindMem:
		if l.Use != api.UseLinear && l.Use != api.UseRegion {
			return api.Refuse(api.InvalidArgument, "mem lease %s has use %.40q: it must be linear or region", l.ID, l.Use)
		}
		return nil
	case api.KindBlock:
		if l.Amount%api.BlockSize != 0 {
			return api.Refuse(api.InvalidArgument, "block lease %s has %d bytes: they must be a multiple of %d", l.ID, l.Amount, api.BlockSize)
		}
		return nil
	}
	return api.Refuse(api.InvalidArgument, "lease %s is of kind %.40q, which is none", l.ID, l.Kind)
}

// reserve takes the amount before anything is opened; opening is counted until Bind is done.
func (h *Host) reserve(l api.Lease) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return api.Refuse(api.Overloaded, "the cell agent is stopping")
	}
	if _, taken := h.bound[l.ID]; taken {
		return api.Refuse(api.Conflict, "lease %s is bound already", l.ID)
	}
	need, err := h.need(&l)
	if err != nil {
		return err
	}
	used, limit := h.used.Get(l.Kind), h.capacity.Get(l.Kind)
	if need > limit-used {
		refusal := api.Refuse(api.Overloaded, "lease %s asks for %d %s of %s: %d of %d are free",
			l.ID, l.Amount, l.Kind.Unit(), l.Kind, limit-used, limit)
		refusal.Shortage = &api.Shortage{Resource: string(l.Kind), Limit: limit, InUse: used, Asked: l.Amount}
		return refusal
	}
	h.count(l.Tenant, l.Kind, l.Amount, gpusOf(&l), 1)
	h.bound[l.ID] = nil
	h.opening.Add(1)
	return nil
}

// openStore opens what has bytes; a nil store is a reservation.
func (h *Host) openStore(l api.Lease) (store, error) {
	if err := h.faults.bind(l.Kind); err != nil {
		return nil, err
	}
	switch {
	case l.Kind == api.KindBlock:
		b, err := openBlock(h.dir, l.ID, l.Amount)
		if b == nil {
			return nil, err // a nil *block is no nil store
		}
		return b, err
	case l.Kind == api.KindMem && l.Use == api.UseRegion:
		r, err := openRegion(&h.pool, l.Amount)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	return nil, nil
}

// keep remembers an open binding under its lease.
func (h *Host) keep(b *bound) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bound[b.lease] = b
}

// release gives the amount of a binding back. Its resource is gone.
func (h *Host) release(b *bound) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.bound, b.lease)
	h.count(b.tenant, b.kind, b.amount, b.gpu, -1)
}

// Free returns what can still be bound. What is fenced is not free.
func (h *Host) Free() api.Resources {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.capacity.Sub(h.used)
}

// Close tears every binding down but the blocks, which are left for the next agent: whoever does
// not want them kept has closed them before. Then it lets go of the directory. Its error is
// lease_fenced and names every lease that is fenced since it was called; a fence from before is only logged: nothing of
// it fails now.
func (h *Host) Close() error {
	h.once.Do(func() { h.closeErr = h.close() })
	return h.closeErr
}

func (h *Host) close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.opening.Wait()
	h.mu.Lock()
	all := make([]*bound, 0, len(h.bound))
	for _, b := range h.bound {
		all = append(all, b)
	}
	h.mu.Unlock()
	errs := make([]error, len(all), len(all)+2)
	var wg sync.WaitGroup // together: each may wait for its bound
	for i, b := range all {
		wg.Go(func() { errs[i] = h.closeOne(b) })
	}
	wg.Wait()
	return errors.Join(append(errs, unmapAll(h.pool.drain()), h.lock.Close())...)
}

func (h *Host) closeOne(b *bound) error {
	ctx, cancel := context.WithTimeout(context.Background(), h.closeBound)
	defer cancel()
	if left, err := b.leave(ctx); left {
		return err
	}
	known := b.fenced()
	err := b.Close(context.Background())
	switch {
	case err == nil:
		return nil
	case known:
		h.log.Warn("lease stays fenced", "lease_id", b.lease, "kind", b.kind, "amount", b.amount, "reason", err)
		return nil
	}
	return api.RefuseFenced(&api.Lease{ID: b.lease}, err.Error())
}
