package cellagent

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/capbroker"
)

const (
	// pieceMost bounds what is read or written of a binding at one time. A write that is no longer
	// is seen whole, a longer one piece by piece.
	pieceMost = 256 << 10
	// pieceTime bounds the way of one piece to or from the client, so that a long operation has
	// time in proportion to its length, and a slow client loses it at 25 KiB/s.
	pieceTime = 10 * time.Second
	// dataInFlight bounds the operations that touch bindings at one time; touchWait is how long
	// one waits for its turn.
	dataInFlight = 256
	touchWait    = 2 * time.Second
)

// The operations that a capability token may allow.
const (
	opRead  = capbroker.OpRead
	opWrite = capbroker.OpWrite
)

// toEnd is the length of a read up to the end.
const toEnd = -1

// operation is one read or write of a lease's bytes, whichever way it came.
type operation struct {
	op             string
	lease          api.LeaseID
	token, proof   string
	peer           peer
	offset, length int64
	sync           bool // a write is on the disk when it is answered
}

// use is the operation as the token's checks see it.
func (o *operation) use(body [sha256.Size]byte) capbroker.Use {
	return capbroker.Use{Op: o.op, Offset: o.offset, Length: o.length, Body: body, Key: o.peer.key, Proof: o.proof}
}

// touchable is a lease that an operation may touch at this moment.
type touchable struct {
	claims Claims
	lease  api.Lease
	open   Opened
	ends   int64 // CLOCK_BOOTTIME ns
}

// outlet takes what is read.
type outlet interface {
	// begin is told the length before the first piece.
	begin(length int64)
	// piece sends some bytes, which it does not keep, within a time.
	piece(b []byte, within time.Duration) error
}

// inlet gives what is to be written.
type inlet interface {
	// piece fills b, within a time.
	piece(b []byte, within time.Duration) error
}

// cutError ends an answer that has begun.
type cutError struct{ cause error }

func (e *cutError) Error() string { return "the answer is cut: " + e.cause.Error() }

func (e *cutError) Unwrap() error { return e.cause }

// look verifies the token and compares it with the lease as it stands now. It is what is asked
// again for each piece of a long operation.
func (p *dataPlane) look(o *operation) (touchable, error) {
	claims, err := p.broker.Verify(o.token)
	if err != nil {
		return touchable{}, err
	}
	l, open, ends, err := p.find(o.lease)
	if err != nil {
		return touchable{}, err
	}
	if err := claims.Standing(l); err != nil {
		return touchable{}, err
	}
	if open == nil {
		return touchable{}, api.RefuseEnded(api.LeaseRevoked, "lease %s has ended: %s", l.ID, l.Reason)
	}
	return touchable{claims, l, open, ends}, nil
}

// admit takes an operation when its token allows it at this moment. Of what is written a proof
// is about the bytes: with body nil they are not there yet, and it is only asked whether a proof
// is. An operation that reaches past the end is refused whole.
func (p *dataPlane) admit(o *operation, body *[sha256.Size]byte) (touchable, error) {
	t, err := p.look(o)
	if err != nil {
		return t, err
	}
	if o.length == toEnd {
		o.length = max(t.open.Size()-o.offset, 0)
	}
	if body != nil || o.proof == "" {
		if body == nil {
			body = new([sha256.Size]byte)
		}
		if err := t.claims.Confirm(o.use(*body)); err != nil {
			return t, err
		}
	}
	if !t.claims.Named() {
		if err := o.peer.mayUse(t.lease); err != nil {
			return t, err
		}
	}
	if err := t.claims.Allow(t.lease, o.use([sha256.Size]byte{})); err != nil {
		return t, err
	}
	return t, o.fits(t)
}

// fits refuses what is not within the lease.
func (o *operation) fits(t touchable) error {
	if l := t.lease; l.Kind != api.KindBlock && (l.Kind != api.KindMem || l.Use != api.UseRegion) {
		return api.Refuse(api.InvalidArgument, "lease %s is for %s %s: it holds no bytes to %s", l.ID, l.Kind, l.Use, o.op)
	}
	if size := t.open.Size(); o.offset < 0 || o.length < 0 || o.offset > size || o.length > size-o.offset {
		return api.Refuse(api.InvalidArgument, "offset %d and length %d are not within the %d bytes of the lease", o.offset, o.length, size)
	}
	return nil
}

// read sends length bytes from offset on, looking again before each piece. What fails before
// the first one has left is an ordinary refusal, later it is a cutError.
func (p *dataPlane) read(ctx context.Context, o *operation, to outlet) error {
	t, err := p.admit(o, new([sha256.Size]byte))
	if err != nil {
		return err
	}
	buf := p.buffers.Get().(*[pieceMost]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer p.buffers.Put(buf)
	for done := int64(0); done < o.length || done == 0; {
		piece := buf[:min(o.length-done, pieceMost)]
		if done > 0 {
			if t, err = p.look(o); err != nil {
				return &cutError{err}
			}
		}
		err := p.touch(ctx, o, func() error {
			_, err := t.open.ReadAt(piece, o.offset+done)
			if errors.Is(err, io.EOF) {
				return nil // the last bytes, with the news that they are
			}
			return err
		})
		switch {
		case err != nil && done > 0:
			return &cutError{err}
		case err != nil:
			return err
		case done == 0:
			to.begin(o.length)
		}
		if err := to.piece(piece, p.within(t)); err != nil {
			return &cutError{err}
		}
		if done += int64(len(piece)); len(piece) == 0 {
			break
		}
	}
	return nil
}

// write takes length bytes to offset. The token and the lease are looked at when a piece is
// there: a slow sender does not outlive its lease.
func (p *dataPlane) write(ctx context.Context, o *operation, from inlet) error {
	t, err := p.admit(o, nil) // before a byte is read for somebody who may not write
	if err != nil {
		return err
	}
	whole := o.length <= pieceMost
	if !whole && t.claims.Bound(o.peer.key) {
		return api.Refuse(api.TooLarge, "%d bytes are written under one proof: at most %d", o.length, pieceMost).
			WithHint("write in parts, each with its proof, or connect with the holder's certificate")
	}
	buf := p.buffers.Get().(*[pieceMost]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer p.buffers.Put(buf)
	for done := int64(0); done < o.length || done == 0; {
		piece := buf[:min(o.length-done, pieceMost)]
		if err := from.piece(piece, p.within(t)); err != nil {
			return partly(done, o.notCome(done, len(piece), err))
		}
		if whole {
			var body [sha256.Size]byte
			if o.proof != "" {
				body = sha256.Sum256(piece)
			}
			t, err = p.admit(o, &body)
		} else {
			t, err = p.look(o)
		}
		if err != nil {
			return partly(done, err)
		}
		if err := p.touch(ctx, o, func() error {
			_, err := t.open.WriteAt(piece, o.offset+done)
			return err
		}); err != nil {
			return partly(done, err)
		}
		if done += int64(len(piece)); len(piece) == 0 {
			break
		}
	}
	return p.settle(ctx, o, t)
}

// settle waits for the disk where that is asked for.
func (p *dataPlane) settle(ctx context.Context, o *operation, t touchable) error {
	disk, ok := t.open.(interface{ Sync() error })
	if !ok || !o.sync {
		return nil
	}
	return p.touch(ctx, o, disk.Sync)
}

// partly says how much of a long write was taken before it was refused.
func partly(done int64, err error) error {
	if done == 0 {
		return err
	}
	problem := api.Problem(err)
	problem.Detail += "; " + api.FormatSize(done) + " of it were written before"
	return problem
}

// within is the time of the next piece: it does not outlast the lease.
func (p *dataPlane) within(t touchable) time.Duration {
	if mutant.On(mutant.ServeLate) {
		return pieceTime
	}
	return min(pieceTime, left(t.ends, p.clock.Now()))
}

// touch calls f, which touches a binding, when there is a free slot. Slots are held for no
// client, however slow.
func (p *dataPlane) touch(ctx context.Context, o *operation, f func() error) error {
	select {
	case p.room <- struct{}{}:
	default:
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	err := f()
	<-p.room
	if err != nil {
		return p.broken(o.lease, err)
	}
	return nil
}

// await waits for a slot.
func (p *dataPlane) await(ctx context.Context) error {
	timer := time.NewTimer(touchWait)
	defer timer.Stop()
	select {
	case p.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return busy("the cell touches %d bindings already", cap(p.room))
	}
}

func busy(format string, args ...any) error {
	b := api.Refuse(api.Overloaded, format, args...)
	b.RetryAfterMs = 50
	return b
}

// broken returns the refusal for an operation that failed on an open binding. A teardown that
// began meanwhile is told as what it is.
func (p *dataPlane) broken(id api.LeaseID, err error) error {
	l, open, _, findErr := p.find(id)
	switch {
	case findErr != nil:
		return findErr
	case open != nil:
		p.log.Error("operation failed on an open binding", "lease_id", id, "error", err)
		if _, ok := api.AsError(err); ok {
			return err
		}
		return api.Refuse(api.Internal, "lease %s cannot be used: %v", id, err)
	case l.State == api.LeaseExpired:
		return api.RefuseEnded(api.LeaseExpiredKind, "lease %s has ended: %s", id, l.Reason)
	}
	return api.RefuseEnded(api.LeaseRevoked, "lease %s has ended: %s", id, l.Reason)
}
