package cellagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

const (
	// relayTime bounds an operation through a scheduler, whoever is slow.
	relayTime = 60 * time.Second
	// relaysMost bounds those that are under way. What comes beyond is told so, while as many as
	// turnedAway are; what comes beyond those is not answered, and its scheduler says so in time.
	relaysMost = 64
	turnedAway = 256
	// relayFabrics bounds the schedulers that are kept dialled for it.
	relayFabrics = 16
)

// relay serves the operations that schedulers carry to a cell which their clients cannot reach:
// it is asked over the session, and goes to the scheduler itself, for what is to be written and
// with what was read. The data plane judges them like any other; of the client it knows nothing.
type relay struct {
	cell  api.CellID
	plane *dataPlane
	dial  Dialer
	tasks *sync.WaitGroup
	room  chan struct{}
	away  chan struct{}
	log   hclog.Logger

	mu      sync.Mutex
	fabrics map[string]Fabric
}

func newRelay(cell api.CellID, p *dataPlane, dial Dialer, tasks *sync.WaitGroup, log hclog.Logger) *relay {
	return &relay{
		cell: cell, plane: p, dial: dial, tasks: tasks, room: make(chan struct{}, relaysMost),
		away: make(chan struct{}, turnedAway), log: log, fabrics: map[string]Fabric{},
	}
}

// take begins an operation that a scheduler asks for. ctx is the agent's life.
func (r *relay) take(ctx context.Context, ask api.Ask) {
	room, do := r.room, r.serve
	select {
	case room <- struct{}{}:
	default:
		room, do = r.away, r.turnAway
		select {
		case room <- struct{}{}:
		default:
			r.log.Warn("operation of a scheduler not taken", "lease_id", ask.LeaseID, "under_way", relaysMost)
			return
		}
	}
	r.tasks.Go(func() {
		defer func() { <-room }()
		ctx, cancel := context.WithTimeout(ctx, relayTime)
		defer cancel()
		if err := do(ctx, ask); err != nil {
			r.log.Debug("operation of a scheduler not answered", "lease_id", ask.LeaseID, "scheduler", ask.Data.Scheduler, "error", err)
		}
	})
}

// turnAway answers that there are too many operations already.
func (r *relay) turnAway(ctx context.Context, ask api.Ask) error {
	fabric, err := r.fabric(ask.Data.Scheduler)
	if err != nil {
		return err
	}
	out := &parcel{ctx: ctx, fabric: fabric, cell: r.cell, ask: ask.ID, nonce: r.plane.broker.Challenge()}
	return out.end(busy("cell %s has %d operations of schedulers under way already", r.cell, relaysMost))
}

// serve does one operation and brings its answer.
func (r *relay) serve(ctx context.Context, ask api.Ask) error {
	d := ask.Data
	fabric, err := r.fabric(d.Scheduler)
	if err != nil {
		return err
	}
	o := &operation{
		op: opRead, lease: ask.LeaseID, token: d.Token, proof: d.Proof, offset: d.Offset, length: d.Length, sync: d.Sync,
		peer: peer{name: "scheduler " + d.Scheduler},
	}
	out := &parcel{ctx: ctx, fabric: fabric, cell: r.cell, ask: ask.ID, nonce: r.plane.broker.Challenge()}
	if err = r.plane.guests.enter(o.peer.name); err == nil {
		defer r.plane.guests.leave(o.peer.name)
		if d.Write {
			o.op = opWrite
			err = r.write(ctx, fabric, o, ask.ID)
		} else {
			err = r.plane.read(ctx, o, out)
		}
	}
	return out.end(err)
}

// write fetches what is to be written once it is asked for.
func (r *relay) write(ctx context.Context, fabric Fabric, o *operation, ask string) error {
	in := &fetched{ctx: ctx, open: func() (io.ReadCloser, error) { return fabric.RelayBody(ctx, r.cell, ask) }}
	defer in.close()
	return r.plane.write(ctx, o, in)
}

// fabric returns the way to one scheduler.
func (r *relay) fabric(url string) (Fabric, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.fabrics[url]; ok {
		return f, nil
	}
	f, err := r.dial([]string{url}, relayTime, 0)
	if err != nil {
		return nil, fmt.Errorf("dial scheduler: %w", err)
	}
	if len(r.fabrics) >= relayFabrics {
		if err := r.drop(); err != nil {
			r.log.Debug("close connections of the relay", "error", err)
		}
	}
	r.fabrics[url] = f
	return f, nil
}

// drop closes the ways; what is under way on them goes on.
func (r *relay) drop() error {
	var errs []error
	for url, f := range r.fabrics {
		errs = append(errs, f.Close())
		delete(r.fabrics, url)
	}
	return errors.Join(errs...)
}

// forget has the next operation go over a new connection.
func (r *relay) forget() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drop()
}

// fetched is an inlet of what a scheduler has.
type fetched struct {
	ctx  context.Context //nolint:containedctx // of the one operation
	open func() (io.ReadCloser, error)
	body io.ReadCloser
}

func (f *fetched) piece(b []byte, within time.Duration) error {
	if within <= 0 {
		return errLate
	}
	if len(b) == 0 {
		return nil
	}
	if f.body == nil {
		body, err := f.open()
		if err != nil {
			return err
		}
		f.body = body
	}
	_, err := io.ReadFull(f.body, b) // it ends with its context
	return err                       //nolint:wrapcheck // it is told as it is
}

func (f *fetched) close() {
	if f.body != nil {
		_ = f.body.Close() // it was only read
	}
}

// parcel is an outlet to a scheduler: an upload that begins with the first piece.
type parcel struct {
	ctx    context.Context //nolint:containedctx // of the one operation
	fabric Fabric
	cell   api.CellID
	ask    string
	nonce  string

	pipe *io.PipeWriter
	sent chan error
}

func (p *parcel) begin(length int64) {
	from, to := io.Pipe()
	p.pipe, p.sent = to, make(chan error, 1)
	go func() { // end waits for it
		err := p.fabric.RelayAnswer(p.ctx, p.cell, p.ask, api.RelayAnswer{Nonce: p.nonce, Length: length, Body: from})
		_ = from.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		p.sent <- err
	}()
}

func (p *parcel) piece(b []byte, within time.Duration) error {
	if within <= 0 {
		return errLate
	}
	if len(b) == 0 {
		return nil
	}
	_, err := p.pipe.Write(b) // it ends with the upload, which ends with its context
	return err                //nolint:wrapcheck // a reader that went away
}

// end closes the upload, or brings what is to be said instead of one.
func (p *parcel) end(err error) error {
	if p.pipe == nil {
		a := api.RelayAnswer{Nonce: p.nonce}
		if err != nil {
			a.Problem = api.Problem(err)
			if a.Problem.Kind == api.Unauthenticated {
				a.Problem.Nonce = p.nonce
			}
		}
		return p.fabric.RelayAnswer(p.ctx, p.cell, p.ask, a)
	}
	_ = p.pipe.CloseWithError(err) // nil is its ordinary end
	return errors.Join(err, <-p.sent)
}
