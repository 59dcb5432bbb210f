package cellagent

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/grafos/grafos/api"
)

// lateError is that a client sent less than was waited for, in the time that it had.
type lateError struct {
	came   int
	within time.Duration
}

func (e *lateError) Error() string { return "the time of the bytes is over" }

// unread is why bytes of a client were not read, after the first of them.
func unread(came int, within time.Duration, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &lateError{came, within}
	}
	return err
}

// notCome refuses a write of which n bytes were waited for, behind those that are done. A client is told how long was
// waited for how much, and not what its socket said.
func (o *operation) notCome(done int64, n int, err error) error {
	at := o.offset + done
	late, slow := errors.AsType[*lateError](err)
	switch {
	case errors.Is(err, errLate), slow && late.within < pieceTime:
		return api.Refuse(api.LeaseExpiredKind, "lease %s ended before the %d bytes at %d had come", o.lease, n, at)
	case slow:
		return tooSlow(api.Refuse(api.InvalidArgument, "%d of the %d bytes at %d came within %s, and the cell waits no longer for them",
			late.came, n, at, late.within))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return api.Refuse(api.InvalidArgument, "the body ended before the %d bytes at %d had come", n, at)
	}
	return api.Refuse(api.InvalidArgument, "the %d bytes at %d cannot be read: %v", n, at, err)
}

// untold is notCome for a body that does not say how long it is.
func untold(came int, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return tooSlow(api.Refuse(api.InvalidArgument, "the body had no end after %s and %d bytes, and the cell waits no longer for it", pieceTime, came))
	}
	return api.Refuse(api.InvalidArgument, "the body broke off after %d bytes", came)
}

func tooSlow(e *api.Error) error {
	return e.WithHint("send each %s within %s", api.FormatSize(pieceMost), pieceTime)
}
