package wire

import (
	"errors"
	"io"
	"syscall"
)

// maxPool is how many idle connections to a member are kept: one each for heartbeats, entries,
// what is committed, and who still follows.
const maxPool = 4

// again sends what may be sent twice. A connection from the pool may be one to a process that
// has ended since, and been started again: then the next one is tried, and a new one at last.
// raft itself would count the member out: a vote that is lost so costs a whole election.
func again(send func() error) error {
	var err error
	for range maxPool + 1 {
		if err = send(); !ended(err) {
			break
		}
	}
	return err
}

// ended reports whether a connection was ended by the other side. raft's codec wraps errors in
// its own way.
func ended(err error) bool {
	for err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return true
		}
		var wrapped interface{ Cause() error }
		if !errors.As(err, &wrapped) {
			return false
		}
		err = wrapped.Cause()
	}
	return false
}
