package sim

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent"
	"github.com/grafos/grafos/cellagent/ledger"
)

// binder opens bindings and tells the checker of each.
type binder struct {
	host  *host
	proc  *proc
	keeps *custody

	mu      sync.Mutex
	open    map[api.LeaseID]*binding // guarded by mu
	used    api.Resources            // guarded by mu
	closing int                      // guarded by mu: closings under way
	gone    bool                     // guarded by mu: the process has died
}

type binding struct {
	of    *binder
	lease api.Lease
}

var errGone = errors.New("the process has died")

// Bind opens a binding.
func (b *binder) Bind(l api.Lease) (cellagent.Opened, error) {
	if !prompt(l) {
		time.Sleep(b.host.w.dice.between(50*time.Microsecond, 2*time.Millisecond))
		if !b.proc.awake() {
			return nil, errGone
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, errGone
	}
	want := b.used.With(l.Kind, b.used.Get(l.Kind)+l.Amount)
	if !b.host.room.Fits(want) {
		b.host.w.check.doubleHolder(b.host.id, l, b.used)
		return nil, errors.New("no room")
	}
	b.used = want
	k := &binding{of: b, lease: l}
	b.open[l.ID] = k
	b.host.w.check.bound(b.host.id, l)
	b.keeps.opened(l)
	return k, nil
}

// Prompt makes some of the bindings such that wait for nothing.
func (b *binder) Prompt(l api.Lease) bool { return prompt(l) }

func prompt(l api.Lease) bool { return l.Epoch%2 == 0 }

// Fence is for nobody: everything here can be torn down.
func (b *binder) Fence(ledger.Entry) {}

// Unfence is for nobody.
func (b *binder) Unfence(context.Context, api.LeaseID) error { return nil }

// Close has nothing to close.
func (b *binder) Close() error { return nil }

// vanish is the death of the process.
func (b *binder) vanish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	clear(b.open)
	b.used = api.Resources{}
}

func (b *binder) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open)
}

// busy reports whether a closing is under way.
func (b *binder) busy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closing > 0
}

// Close gives the binding back.
func (k *binding) Close(context.Context) error {
	b := k.of
	b.mu.Lock()
	b.closing++
	b.mu.Unlock()
	slow := 2 * time.Millisecond
	if b.host.w.dice.chance(0.1) {
		slow = 700 * time.Millisecond // within its bound, and long enough to be given again if somebody is hasty
	}
	time.Sleep(b.host.w.dice.between(50*time.Microsecond, slow))
	err := k.give()
	b.mu.Lock()
	b.closing--
	b.mu.Unlock()
	return err
}

// CloseNow gives the binding back where that waits for nothing.
func (k *binding) CloseNow() bool { return prompt(k.lease) && k.give() == nil }

func (k *binding) give() error {
	b := k.of
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return errGone
	}
	delete(b.open, k.lease.ID)
	b.used = b.used.With(k.lease.Kind, b.used.Get(k.lease.Kind)-k.lease.Amount)
	b.keeps.closed(k.lease.ID)
	return nil
}

// Until is looked at by real bindings.
func (k *binding) Until(int64) {}

// Size is that of one byte: what is in it is tested on real bindings.
func (k *binding) Size() int64 { return 1 }

// ReadAt reads nothing but zeros, and those only while the binding is open.
func (k *binding) ReadAt(p []byte, _ int64) (int, error) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	if k.of.open[k.lease.ID] != k {
		return 0, errGone
	}
	clear(p)
	return len(p), nil
}

// WriteAt writes nothing.
func (k *binding) WriteAt([]byte, int64) (int, error) { return 0, io.ErrShortWrite }
