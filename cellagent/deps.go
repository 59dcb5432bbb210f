package cellagent

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/tasklet"
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

// dialer makes a Fabric over the schedulers at these addresses, whose calls, with all that
// they repeat, end after timeout. It does not wait for a connection.
type dialer func(urls []string, timeout time.Duration) (Fabric, error)

// opened is an open binding. ReadAt and WriteAt are called from many goroutines, also after
// Close, when they fail. Close waits for those that are under way and gives the bytes back;
// an error means that it could not, and that the amount stays taken.
type opened interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	Close(ctx context.Context) error
}

// binder opens bindings. Bind refuses what has no room; it may block on a disk.
type binder interface {
	Bind(l api.Lease) (opened, error)
	Close() error
}

// runner executes tasklets. Run returns when no process of the job is alive any more.
type runner interface {
	Run(ctx context.Context, j tasklet.Job) tasklet.Outcome
	Close() error
}

// broker mints and verifies capability tokens.
type broker interface {
	PublicKey() string
	Mint(l api.Lease, left time.Duration) (string, error)
	Verify(token string) (claims, error)
}

// claims is what a verified token says, to be checked against the cell's own record of a lease.
type claims interface {
	Check(l api.Lease, op string) error
}

// deps is everything that the agent gets from outside, so that tests give it other things.
type deps struct {
	clock   Clock
	dial    dialer
	host    binder
	runner  runner
	broker  broker
	modules *modules
	// probe reads the hardware, capacity says what of it may be leased.
	probe    func(context.Context) (api.Inventory, error)
	capacity func(api.Inventory) api.Resources
	// listener is the data plane's, TLS included.
	listener net.Listener
	// release gives the directory up; it is the last thing that happens.
	release func() error
}

// close closes what there is, in reverse order of its making, and all of it whatever fails.
func (d *deps) close() error {
	var errs []error
	if d.listener != nil {
		if err := d.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.runner != nil {
		errs = append(errs, d.runner.Close())
	}
	if d.host != nil {
		errs = append(errs, d.host.Close())
	}
	if d.release != nil {
		errs = append(errs, d.release())
	}
	return errors.Join(errs...)
}
