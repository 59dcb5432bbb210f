package binding

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/cellagent/egress"
)

// Binding is the open resource of one lease.
type Binding interface {
	// ReadAt and WriteAt move all of p or refuse: invalid_argument outside of the resource or
	// on one that has no bytes, lease_revoked once Close has begun.
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Size is the bytes that can be read and written; zero for a plain reservation.
	Size() int64
	// Until sets when, on the Host's clock, operations are refused with lease_expired, whoever has
	// called Close by then or has not.
	Until(deadline int64)
	// Close tears down. New operations are refused at once, those inside are waited for, up
	// to CloseBound and no longer than ctx. An error means that the resource is fenced: its
	// amount stays taken. Every further call gives the first one's answer.
	Close(ctx context.Context) error
	// CloseNow is Close for a binding that needs no wait: nobody is inside, and nothing of it is
	// on a disk or large. False is that Close has to be called, and that new operations may be
	// refused already.
	CloseNow() bool
}

// store is what a binding with bytes reads and writes: called inside the gate, within bounds.
type store interface {
	readAt(p []byte, off int64) error
	writeAt(p []byte, off int64) error
	// destroy gives the resource back. It can be called again after it failed.
	destroy() error
	// prompt reports that destroy waits for nothing.
	prompt() bool
}

// bound is the one implementation of Binding.
type bound struct {
	host     *Host
	lease    api.LeaseID
	kind     api.LeaseKind
	amount   int64
	tenant   api.TenantID
	gpu      *api.GPUTerms  // which gpus; nil is a number of them, or none
	store    store          // nil for a reservation
	flows    *egress.Egress // of a net lease for a run; nil of every other
	gate     gate
	deadline atomic.Int64 // on the Host's clock; 0 is none

	teardown sync.Mutex // held by Close and Unfence
	closed   bool
	fence    error // why Close failed; nil when it did not
}

// Size returns the bytes of the resource.
func (b *bound) Size() int64 {
	if b.store == nil {
		return 0
	}
	return b.amount
}

// ReadAt fills p from off.
func (b *bound) ReadAt(p []byte, off int64) (int, error) {
	return b.move(p, off, func() error { return b.store.readAt(p, off) })
}

// WriteAt writes p at off.
func (b *bound) WriteAt(p []byte, off int64) (int, error) {
	return b.move(p, off, func() error { return b.store.writeAt(p, off) })
}

// move does one operation inside the gate.
func (b *bound) move(p []byte, off int64, do func() error) (int, error) {
	if err := b.within(off, int64(len(p))); err != nil {
		return 0, err
	}
	if !b.gate.enter() {
		return 0, api.RefuseEnded(api.LeaseRevoked, "lease %s is torn down", b.lease)
	}
	defer b.gate.leave()
	if err := b.late(); err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, api.Refuse(api.Internal, "lease %s: %v", b.lease, err)
	}
	// Whoever stood still in there, or waited for a disk, does not hand out what he read too late.
	if err := b.late(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync makes what was written to a block survive the host; nothing else has to.
func (b *bound) Sync() error {
	disk, ok := b.store.(interface{ sync() error })
	if !ok {
		return nil
	}
	_, err := b.move(nil, 0, disk.sync)
	return err
}

// leave closes a block without wiping it, for the next agent; left is false where there is none.
func (b *bound) leave(ctx context.Context) (left bool, _ error) {
	b.teardown.Lock()
	defer b.teardown.Unlock()
	disk, ok := b.store.(*block)
	if !ok || b.closed {
		return false, nil
	}
	b.closed = true
	if err := b.gate.close(ctx); err != nil {
		return true, nil // whoever is inside keeps the file open until this process ends
	}
	return true, disk.leave()
}

// Until sets when operations are refused.
func (b *bound) Until(deadline int64) {
	b.deadline.Store(deadline)
	if b.flows != nil {
		b.flows.Renewed()
	}
}

// late refuses what comes after the deadline. It is looked at inside the gate, where nothing of
// the resource can be given on yet.
func (b *bound) late() error {
	deadline := b.deadline.Load()
	if deadline == 0 || b.host.now == nil || mutant.On(mutant.ServeLate) {
		return nil
	}
	if over := b.host.now() - deadline; over >= 0 {
		return api.RefuseEnded(api.LeaseExpiredKind, "lease %s ended %s ago", b.lease, time.Duration(over).Round(time.Microsecond))
	}
	return nil
}

// Path is the file of a binding that has one.
func (b *bound) Path() string {
	if f, ok := b.store.(interface{ name() string }); ok {
		return f.name()
	}
	return ""
}

// within refuses a range that is not inside the resource. off+n is never computed: it
// could overflow.
func (b *bound) within(off, n int64) error {
	if b.store == nil {
		return api.Refuse(api.InvalidArgument, "lease %s is for %s: it has no bytes to read or write", b.lease, b.kind)
	}
	if off < 0 || off > b.amount || n > b.amount-off {
		return api.Refuse(api.InvalidArgument, "%d bytes at offset %d are outside of lease %s, which has %d bytes",
			n, off, b.lease, b.amount)
	}
	return nil
}

// Close tears down, once.
func (b *bound) Close(ctx context.Context) error {
	b.teardown.Lock()
	defer b.teardown.Unlock()
	if b.closed {
		return b.fence
	}
	b.closed = true
	b.fence = b.tearDown(ctx)
	if b.fence == nil {
		b.host.release(b)
	}
	return b.fence
}

// fenced reports whether a teardown failed already.
func (b *bound) fenced() bool {
	b.teardown.Lock()
	defer b.teardown.Unlock()
	return b.fence != nil
}

// CloseNow tears down what waits for nothing.
func (b *bound) CloseNow() bool {
	if b.store != nil && !b.store.prompt() || b.flows != nil && !b.flows.Idle() || b.host.faults.waits(b.kind) || !b.teardown.TryLock() {
		return false
	}
	defer b.teardown.Unlock()
	if b.closed {
		return b.fence == nil
	}
	if !b.gate.closeNow() || b.store != nil && b.store.destroy() != nil {
		return false
	}
	b.closed = true
	b.host.release(b)
	return true
}

// tearDown waits for operations, then gives the resource back. teardown is held.
func (b *bound) tearDown(ctx context.Context) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.host.closeBound)
	defer cancel()
	b.Halt() // whoever is inside for a flow leaves
	if err := b.gate.close(ctx); err != nil {
		return fmt.Errorf("tear down lease %s after %s: %w", b.lease, time.Since(start).Round(time.Millisecond), err)
	}
	if err := b.host.faults.teardown(ctx, b.kind); err != nil {
		return fmt.Errorf("tear down lease %s: %w", b.lease, err)
	}
	if b.flows != nil {
		if err := b.flows.Close(ctx); err != nil {
			return fmt.Errorf("tear down lease %s: %w", b.lease, err)
		}
	}
	if b.store == nil {
		return nil
	}
	if err := b.store.destroy(); err != nil {
		return fmt.Errorf("tear down lease %s: %w", b.lease, err)
	}
	return nil
}

// unfence tries the teardown of a fenced binding again. One that was fenced before anybody came to close
// it, because its opening or its worker did not end, is closed now.
func (b *bound) unfence(ctx context.Context) error {
	b.teardown.Lock()
	defer b.teardown.Unlock()
	if b.closed && b.fence == nil {
		return api.Refuse(api.Conflict, "lease %s is not fenced", b.lease)
	}
	b.closed = true
	if err := b.tearDown(ctx); err != nil {
		if b.fence == nil {
			b.fence = err
		}
		return err
	}
	b.fence = nil
	b.host.release(b)
	return nil
}
