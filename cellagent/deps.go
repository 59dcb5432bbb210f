package cellagent

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/cellagent/ledger"
	"github.com/grafos/grafos/cellagent/work"
)

// Fabric is how the agent reaches schedulers: one of them, or any of several. Its methods are
// called from several goroutines.
type Fabric interface {
	api.CellAgent
	PutBlob(ctx context.Context, d api.Digest, size int64, r io.Reader) error
	GetBlob(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error)
	// Close closes the connections that nothing is under way on.
	Close() error
}

// Dialer makes a Fabric over the schedulers at these addresses, whose calls, with all that
// they repeat, end after timeout. A connection that is silent for as long as ping is probed, and one
// whose probe is not answered for as long again is given up; 0 is the client's own. It does not wait for a
// connection.
type Dialer func(urls []string, timeout, ping time.Duration) (Fabric, error)

// Opened is an open binding. ReadAt and WriteAt are called from many goroutines, also after
// Close, when they fail. Close waits for those that are under way and gives the bytes back;
// an error means that it could not, and that the amount stays taken.
type Opened interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	// Until sets when, on the cell's clock, operations are refused, whether Close was called or not.
	Until(deadline int64)
	Close(ctx context.Context) error
	// CloseNow is Close where that waits for nothing. False is that Close has to be called; new
	// operations may be refused already.
	CloseNow() bool
}

// flowing is an Opened that can have flows to the outside: that of a net lease.
type flowing interface {
	// Net is what the lease's run has of it; nil is nothing.
	Net() work.Net
	// Halt closes every flow at once, without waiting, and lets none be made any more.
	Halt()
}

// Binder opens bindings. Bind refuses what has no room; it may block on a disk, but not for a
// lease for which Prompt says so. An Opened beside a refusal could not be closed again: it is fenced,
// and its Close says so.
type Binder interface {
	Bind(l api.Lease) (Opened, error)
	Prompt(l api.Lease) bool
	// Adopt returns the binding of a lease that an agent before this one left, if it is there.
	Adopt(id api.LeaseID) (Opened, bool)
	// Fence counts what is fenced and was not bound by this Binder; a second time changes nothing.
	Fence(e ledger.Entry)
	// Unfence tears what is fenced down and gives its amount back.
	Unfence(ctx context.Context, id api.LeaseID) error
	// Close tears down what is open, but for the blocks, which it leaves for the next agent.
	Close() error
}

// Runner executes tasklets. Run returns when no process of the job is alive any more.
type Runner interface {
	Run(ctx context.Context, j work.Job) work.Outcome
	Close() error
}

// Broker mints and verifies capability tokens.
type Broker interface {
	PublicKey() string
	Mint(l api.Lease, left time.Duration) (string, error)
	// MintAll is Mint for many at once; the answers stand at the places of the leases.
	MintAll(leases []api.Lease, left []time.Duration) ([]string, []error)
	Verify(token string) (Claims, error)
	// SetEpoch is told of each registration: it voids the tokens of the ones before.
	SetEpoch(epoch uint64)
	// Challenge returns a nonce for the proof of a holder.
	Challenge() string
}

// Claims is what a verified token says. An operation is good when Standing, Confirm and Allow,
// in this order, refuse nothing.
type Claims interface {
	// Standing compares it with the cell's own record of its lease.
	Standing(l api.Lease) error
	// Named reports whether it names the key of its holder, Bound whether that is another one
	// than the connection's, so that a proof is needed.
	Named() bool
	Bound(key holder.Thumbprint) bool
	// Confirm refuses whoever is not its holder. It takes a proof once.
	Confirm(u capbroker.Use) error
	// Allow refuses what it is not for.
	Allow(l api.Lease, u capbroker.Use) error
}

// Deps is everything that the agent gets from outside: Open fills it with what this host has.
type Deps struct {
	Clock  Clock
	Dial   Dialer
	Host   Binder
	Runner Runner
	// CPUTier says how the Runner keeps the share of a run of a priority; nil is that nobody is told.
	CPUTier func(api.Priority) api.CPUTier
	Broker  Broker
	// Ledger is what was accepted and fenced here, also by agents before this one. The Host counts
	// the fences in it.
	Ledger *ledger.Ledger
	// Random names this agent, and spreads agents over schedulers.
	Random io.Reader
	// Probe reads the hardware, Capacity says what of it may be leased.
	Probe    func(context.Context) (api.Inventory, error)
	Capacity func(api.Inventory) api.Resources
	// Identity is renewed while the agent runs; nil is not. Wall is the clock by which certificates
	// end; nil is this machine's.
	Identity Identity
	Wall     func() time.Time
	// Listener is the data plane's, TLS included.
	Listener net.Listener
	// Faults are deliberate failures of the agent itself, for tests; a real one has none.
	Faults Faults
	// Release gives the directory up; it is the last thing that happens.
	Release func() error
}

// close closes what there is, in reverse order of its making, and all of it whatever fails.
func (d *Deps) close() error {
	var errs []error
	if d.Listener != nil {
		if err := d.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.Runner != nil {
		errs = append(errs, d.Runner.Close())
	}
	if d.Host != nil {
		errs = append(errs, d.Host.Close())
	}
	if d.Ledger != nil {
		errs = append(errs, d.Ledger.Close())
	}
	if d.Release != nil {
		errs = append(errs, d.Release())
	}
	return errors.Join(errs...)
}
