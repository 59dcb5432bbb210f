package cluster

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// fullStable is a stable store whose disk takes nothing.
type fullStable struct{ raft.StableStore }

// SetUint64 saves nothing.
func (fullStable) SetUint64([]byte, uint64) error { return errSink }

// TestOpenOnFullDisk: a node that cannot save its term does not open, and says why; whoever
// opens it goes on.
func TestOpenOnFullDisk(t *testing.T) {
	r := newRigOf(t, 1)
	s := r.seats[0]
	s.close()
	c := s.config()
	storage := c.Storage
	c.Storage = func(d Disk) (*Storage, error) {
		kept, err := storage(d)
		if err == nil {
			kept.Stable = fullStable{kept.Stable}
		}
		return kept, err
	}
	done := make(chan error)
	go func() {
		defer close(done)
		_, err := Open(t.Context(), c)
		done <- err
	}()
	if err, open := <-done; !open || !errors.Is(err, errSink) {
		t.Errorf("opening on a full disk ended with %v (returned: %v)", err, open)
	}
	s.open() // it left nothing behind: the address and the files are free
}
